//! The shared library of OpenVINO, once a process, and whether it has a plugin for a device.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Mutex, PoisonError};

use openvino::Core;

use crate::error::RuntimeError;
use crate::place::{find_library, usual_folders};
use crate::target::TargetKind;

/// Before this release, year and number, types of element are numbered otherwise.
const OLDEST: (u32, u32) = (2025, 1);
/// What the library has and no other.
const SYMBOL: &[u8] = b"ov_core_create\0";
/// As much of a file as is searched for it, in bytes: the library has a megabyte.
const LIBRARY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What this process has loaded: it cannot load another.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// OpenVINO from the library that is stated, or from where it usually lies, with a plugin for the device.
pub(super) fn core(stated: Option<&Path>, device: &str) -> Result<Core, RuntimeError> {
    let path = find_library(TargetKind::Openvino, stated, &usual_folders())?;
    load(&absolute(&path).unwrap_or(path.clone()))?;
    let core = Core::new().map_err(|why| error(format!("{} did not start: {why:?}", path.display())))?;
    let devices = core.available_devices();
    let devices = devices.map_err(|why| error(format!("{} lists no devices: {why}", path.display())))?;
    let has = |name: &str| {
        devices.iter().any(|found| found.as_ref() == name || found.as_ref().starts_with(&format!("{name}.")))
    };
    if !has(device) {
        let found: Vec<&str> = devices.iter().map(AsRef::as_ref).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        return Err(error(format!(
            "the OpenVINO at {} has no device {device} (it has {found}): install its plugin for it, \
             libopenvino_*_plugin.so beside the library",
            path.display()
        )));
    }
    Ok(core)
}

fn load(path: &Path) -> Result<(), RuntimeError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some(of) if of == path => return Ok(()),
        Some(of) => return Err(error(format!("this process has already loaded {}", of.display()))),
        None => {}
    }
    let named = path.display();
    let install = "install OpenVINO 2025.1 or newer for this processor";
    // A library that is another one would be taken, and every call to it would panic.
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LIBRARY_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|why| error(format!("{named} cannot be read: {why}")))?;
    if !bytes.windows(SYMBOL.len()).any(|window| window == SYMBOL) {
        return Err(error(format!("{named} is not OpenVINO's library for C: {install}")));
    }
    drop(bytes);
    openvino_sys::library::load_from(path.to_owned()).map_err(|why| error(format!("{why}; {install}")))?;
    let version = openvino::version();
    let mut parts = version.parts().map_while(|part| part.parse::<u32>().ok());
    let found = parts.next().zip(parts.next());
    if found.is_none_or(|found| found < OLDEST) {
        return Err(error(format!("{named} is OpenVINO {}: {install}", version.build_number)));
    }
    *loaded = Some(path.to_owned());
    Ok(())
}

fn error(reason: String) -> RuntimeError {
    RuntimeError { target: TargetKind::Openvino, reason }
}
