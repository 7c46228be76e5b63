//! The shared library of ONNX Runtime, once a process.

use std::path::{Path, PathBuf, absolute};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::error::RuntimeError;
use crate::place::{find_library, usual_folders};
use crate::target::TargetKind;

/// What this process has loaded. A worker loads one model in its life, a test many.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// ONNX Runtime from the library that is stated, or from where it usually lies; 1.17 or newer.
pub(super) fn environment(stated: Option<&Path>) -> Result<Environment, RuntimeError> {
    let error = |reason| RuntimeError { target: TargetKind::Onnxruntime, reason };
    let path = find_library(TargetKind::Onnxruntime, stated, &usual_folders())?;
    // A path that is not absolute would be looked for beside this program.
    let path = absolute(&path).unwrap_or(path);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some((of, environment)) if *of == path => return Ok(environment.clone()),
        Some((of, _)) => return Err(error(format!("this process has already loaded {}", of.display()))),
        None => {}
    }
    // What is no ONNX Runtime, or is older than 1.17, is refused here with a word on it.
    let builder = ort::init_from(&path)
        .map_err(|why| error(format!("{why}; install ONNX Runtime 1.17 or newer for this processor")))?;
    // What runs on somebody's machine is nobody else's business.
    let environment = builder.with_name("skein").with_telemetry(false).build();
    let environment = environment.map_err(|why| error(format!("{} did not start: {why}", path.display())))?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}
