//! What belongs to a model file on disk: its manifest, and the labels that the manifest names.

use std::path::{Path, PathBuf};

use skein_targets::Manifest;
use thiserror::Error;

/// Why a model's manifest is of no use.
#[derive(Debug, Error)]
pub enum ModelFilesError {
    /// It cannot be read.
    #[error("cannot read the manifest {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is wrong.
    #[error("the manifest {path}: {source}")]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: skein_targets::ManifestError,
    },
    /// Its labels are missing.
    #[error("the manifest {path} names the labels {labels}, which are not there")]
    NoLabels {
        /// Which manifest.
        path: PathBuf,
        /// Which labels.
        labels: PathBuf,
    },
}

/// The text of a model's manifest, and the file of its labels. Where no manifest is named, it is the TOML file of the same name beside
/// the model; where there is none, the model takes and gives tensors, and the text is empty.
pub fn read_manifest(model: &Path, manifest: Option<&Path>) -> Result<(String, Option<PathBuf>), ModelFilesError> {
    let beside = model.with_extension("toml");
    let path = match manifest {
        Some(path) => path.to_owned(),
        None if beside.exists() => beside,
        None => return Ok((String::new(), None)),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ModelFilesError::Read { path, source }),
    };
    let parsed = match Manifest::parse(&text) {
        Ok(parsed) => parsed,
        Err(source) => return Err(ModelFilesError::Manifest { path, source }),
    };
    match parsed.labels_file().map(|labels| path.with_file_name(labels)) {
        Some(labels) if !labels.exists() => Err(ModelFilesError::NoLabels { path, labels }),
        labels => Ok((text, labels)),
    }
}
