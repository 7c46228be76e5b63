//! A disk that is small enough to be filled: a file system in memory. Needs root; dropping it unmounts it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much is written at a time to fill a disk.
const BLOCK_BYTES: usize = 4096;
/// The name of what fills it.
const BALLAST: &str = "ballast";

/// A mounted disk.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a disk of so many bytes on a new directory.
    pub fn mount(at: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).expect("a directory can be made");
        let size = format!("size={bytes}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        assert!(status.is_ok_and(|status| status.success()), "a file system in memory can be mounted");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also where somebody still has a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Writes to a disk until nothing more fits.
pub fn fill(directory: &Path) {
    let mut ballast = File::create(directory.join(BALLAST)).expect("a file can be made");
    while ballast.write_all(&[1; BLOCK_BYTES]).is_ok() {}
}

/// Takes away what filled it.
pub fn free(directory: &Path) {
    std::fs::remove_file(directory.join(BALLAST)).expect("the ballast is there");
}
