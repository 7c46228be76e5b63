//! The runtimes that the tests load: the libraries out of their makers' Python packages, kept in the cache.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::house::{self, House};

/// The variable by which the tests hear where they are.
pub(crate) const VARIABLE: &str = "SKEIN_TEST_RUNTIMES";
/// The releases that the tests were written for.
const PACKAGES: [&str; 4] = ["openvino==2026.4.1", "onnxruntime==1.32.0", "numpy==2.4.6", "cbor2==6.3.0"];

/// The folder of the runtimes, installed now where they are not there yet: 340 MB; none on processors that their makers
/// have no packages for.
pub(crate) fn installed(house: &House) -> Result<Option<PathBuf>> {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        println!("there are no packages of the runtimes for this processor: their tests are left out");
        return Ok(None);
    }
    let folder = house::cache()?.join("runtimes").join(PACKAGES.join("+"));
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    println!("the runtimes of the tests are installed once, into {}", folder.display());
    // What is not whole has another name.
    let mut part = folder.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let _ = fs::remove_dir_all(&part);
    let mut install = house.program("python3", &["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    install.arg(&part).args(PACKAGES).env("PIP_ROOT_USER_ACTION", "ignore");
    house::run(install)?;
    fs::rename(&part, &folder).with_context(|| format!("cannot rename {}", part.display()))?;
    Ok(Some(folder))
}
