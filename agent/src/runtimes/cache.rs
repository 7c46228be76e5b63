//! Compiled models on disk: quicker to load than to compile again, and of no use for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What compiled models may take on disk when an agent starts, in bytes: some fifty of the size of a usual detector, and a small
/// part of the smallest card. What was written longest ago goes first.
const BYTES_MAX: u64 = 2 << 30;

/// Brings the folder down to its bound. What cannot be read or removed stays: it is only a cache.
pub(super) fn prune(folder: &Path) {
    prune_to(folder, BYTES_MAX);
}

fn prune_to(folder: &Path, bytes_max: u64) {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((about.modified().ok()?, about.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, size, path) in files {
        if bytes <= bytes_max {
            return;
        }
        if fs::remove_file(&path).is_ok() {
            bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_oldest_go_first() {
        prune(Path::new("/nowhere"));
        let folder = tempfile::tempdir().unwrap();
        for (age, name) in [(3, "c"), (1, "a"), (2, "b")] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(10).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(age)).unwrap();
        }
        prune_to(folder.path(), 25);
        let has = |name: &str| folder.path().join(name).exists();
        assert_eq!([has("a"), has("b"), has("c")], [false, true, true]);
        prune_to(folder.path(), 20);
        assert!(has("b"));
    }
}
