//! What can be wrong with a state directory, and what to do about it.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why the state directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The directory, or a file in it, cannot be made or written.
    #[error("cannot write to the state directory {}: {why}; give the agent a directory that it may write", .directory.display())]
    NotWritable {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Another process holds it.
    #[error("another agent is using the state directory {}; stop it, or give this one a directory of its own", .directory.display())]
    InUse {
        /// Which.
        directory: PathBuf,
    },
    /// The database itself does not open.
    #[error(
        "the database in the state directory {} is damaged: {why}; restore the directory from a copy, or move it away and let the node join anew",
        .directory.display()
    )]
    Damaged {
        /// Which.
        directory: PathBuf,
        /// What the database said.
        why: String,
    },
    /// One record is not what was written, or was written by a version that this one does not know.
    #[error(
        "record {key} of '{table}' in the state directory {} cannot be read: {why}; restore the directory from a copy, or move it away and let the node join anew",
        .directory.display()
    )]
    Unreadable {
        /// Where.
        directory: PathBuf,
        /// In which table.
        table: &'static str,
        /// Under which key.
        key: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Reading or writing failed: a full or failing disk.
    #[error("the state directory {} failed: {why}", .directory.display())]
    Io {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl StoreError {
    pub(super) fn io(directory: &Path, why: &impl Display) -> Self {
        Self::Io { directory: directory.to_path_buf(), why: why.to_string() }
    }

    /// What sled says, in plain words.
    pub(super) fn sled(directory: &Path, error: &sled::Error) -> Self {
        match error {
            sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => {
                Self::Damaged { directory: directory.to_path_buf(), why: error.to_string() }
            }
            // sled keeps its first error and hands out copies, which have its kind and its debug form for a text.
            sled::Error::Io(error) if error.raw_os_error().is_none() && error.kind() != ErrorKind::Other => {
                Self::io(directory, &error.kind())
            }
            sled::Error::Io(error) => Self::io(directory, error),
            other => Self::io(directory, other),
        }
    }
}
