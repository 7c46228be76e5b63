//! The files in which Linux says what a machine is.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How much of a file is read, in bytes: `cpuinfo` of a machine with 256 cores takes 400 kB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many entries of a folder are looked at: more PCI devices than any machine has.
const ENTRIES_MAX: usize = 4096;

/// The root folder of a machine, or of a recording of one.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The file's text without white space, or the zeros of a device tree, around it. Empty where there is none: what a
    /// kernel does not say is left out, not an error.
    pub(super) fn text(&self, path: &str) -> String {
        let path = self.root.join(path);
        let mut bytes = Vec::new();
        // A pipe would keep whoever opens it waiting.
        if path.metadata().is_ok_and(|metadata| metadata.is_file())
            && let Ok(file) = File::open(path)
        {
            // What was read before an error is still worth having.
            let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        text.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace()).to_owned()
    }

    /// The number that a file holds, if it holds one.
    pub(super) fn number<N: FromStr>(&self, path: &str) -> Option<N> {
        self.text(path).parse().ok()
    }

    /// The names of what is in a folder, sorted.
    pub(super) fn entries(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.take(ENTRIES_MAX).collect();
        names.sort_unstable();
        names
    }

    /// The paths of what is in a folder and has a name that begins so, sorted.
    pub(super) fn beginning(&self, folder: &str, name: &str) -> std::vec::IntoIter<String> {
        let names = self.entries(folder).into_iter().filter(|entry| entry.starts_with(name));
        names.map(|entry| format!("{folder}/{entry}")).collect::<Vec<_>>().into_iter()
    }

    /// The last part of what a link points to.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let to = std::fs::read_link(self.root.join(path)).ok()?;
        Some(to.file_name()?.to_str()?.to_owned())
    }
}
