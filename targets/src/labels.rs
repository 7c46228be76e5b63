//! The names of classes: a text file, line n is the name of class n, counted from zero.

/// The longest file of labels that is read, in bytes: the 21,000 names of the large `ImageNet` take 400 kB.
pub const LABELS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is wrong with a file of labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    #[error("the labels are {bytes} bytes long, more than {LABELS_BYTES_MAX}: is this the right file?")]
    TooLong { bytes: usize },
    #[error("the file of labels is empty: it needs a label a line, line n for class n")]
    Empty,
    #[error("line {line} of the labels is empty: each class needs a label, or every later label is off by one")]
    EmptyLine { line: usize },
}

/// Reads labels, one a line; empty lines at the end are ignored.
pub fn parse_labels(text: &str) -> Result<Vec<String>, LabelsError> {
    if text.len() > LABELS_BYTES_MAX {
        return Err(LabelsError::TooLong { bytes: text.len() });
    }
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    if labels.is_empty() {
        return Err(LabelsError::Empty);
    }
    match labels.iter().position(String::is_empty) {
        Some(index) => Err(LabelsError::EmptyLine { line: index + 1 }),
        None => Ok(labels),
    }
}
