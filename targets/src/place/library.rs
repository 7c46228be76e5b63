//! Where the shared libraries of runtimes lie.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::RuntimeError;
use crate::target::TargetKind;

/// Where packages of the system and of the makers put libraries, beside what `LD_LIBRARY_PATH` names.
const FOLDERS: &[&str] = &[
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/arm-linux-gnueabihf",
    "/opt/onnxruntime/lib",
    "/opt/intel/openvino/runtime/lib/intel64",
    "/opt/intel/openvino/runtime/lib/aarch64",
];

/// The folders that are looked through where nobody says which library is meant, in this order.
pub fn usual_folders() -> Vec<PathBuf> {
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let named = env::split_paths(&named).filter(|folder| folder.is_absolute()).collect::<Vec<_>>();
    named.into_iter().chain(FOLDERS.iter().map(PathBuf::from)).collect()
}

/// The shared library of a target: the file that was stated, the one in the folder that was stated, or the first in `usual`.
/// Whether it is one, loading it tells.
pub fn find_library(target: TargetKind, stated: Option<&Path>, usual: &[PathBuf]) -> Result<PathBuf, RuntimeError> {
    let Some(name) = target.library_name() else {
        return Err(RuntimeError { target, reason: "it has no library".into() });
    };
    let error = |reason| RuntimeError { target, reason };
    match stated {
        Some(path) if path.is_dir() => in_folder(path, name).ok_or_else(|| {
            error(format!("there is no {name} in {}, which the setting `{target}` names", path.display()))
        }),
        Some(path) if path.is_file() => Ok(path.to_owned()),
        Some(path) => Err(error(format!("there is no file {}, which the setting `{target}` names", path.display()))),
        None => usual.iter().find_map(|folder| in_folder(folder, name)).ok_or_else(|| {
            let variable = target.name().to_uppercase();
            error(format!(
                "there is no {name} where libraries usually lie: install it, and where it lies elsewhere say so with \
                 --{target} PATH, SKEIN_{variable} or `{target} = \"PATH\"` under [runtimes] in the settings file"
            ))
        }),
    }
}

/// The library of this name, or of the highest version: `libx.so`, else the last of `libx.so.1.2`, `libx.so.1.10`.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = folder.join(name);
    if plain.is_file() {
        return Some(plain);
    }
    let versions = std::fs::read_dir(folder).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
        Some((numbers?, path))
    });
    versions.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}
