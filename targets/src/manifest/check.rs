//! What is wrong with a manifest, and the checks that find it.

use super::MANIFEST_BYTES_MAX;

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is {bytes} bytes long, more than {MANIFEST_BYTES_MAX}: is this the right file?")]
    TooLong { bytes: usize },
    /// The parser's message has line, column and the names that would be right.
    #[error("the manifest cannot be read: {0}")]
    Syntax(String),
    #[error("the manifest's `{field}` is {got}, but must be {expected}")]
    Value { field: &'static str, got: String, expected: String },
}

pub(super) fn within(field: &'static str, got: usize, min: usize, max: usize) -> Result<(), ManifestError> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(ManifestError::Value { field, got: got.to_string(), expected: format!("from {min} to {max}") })
}

pub(super) fn number(field: &'static str, got: f32, fits: bool, expected: &str) -> Result<(), ManifestError> {
    if fits {
        return Ok(());
    }
    Err(ManifestError::Value { field, got: got.to_string(), expected: expected.to_owned() })
}

/// A manifest names files that the agent opens: one that could climb out of its folder would read any file of the node.
pub(super) fn file_name(field: &'static str, got: &str) -> Result<(), ManifestError> {
    let climbs = matches!(got, "." | "..") || got.contains(['/', '\\', ':']) || got.contains(char::is_control);
    // 255 bytes is the longest name that the file systems in use can hold.
    if !got.is_empty() && got.len() <= 255 && !climbs {
        return Ok(());
    }
    let expected = "the name of a file beside the manifest, without any folder".to_owned();
    Err(ManifestError::Value { field, got: format!("{got:?}"), expected })
}
