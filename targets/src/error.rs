//! What can go wrong with a model and with a run of it. Each message says what, where and what to do next.

use std::io;
use std::path::PathBuf;

use crate::manifest::ManifestError;
use crate::model::MODEL_BYTES_MAX;
use crate::picture::PictureError;
use crate::target::TargetKind;
use crate::tensor::{ElementType, TENSOR_BYTES_MAX, TensorSpec};

/// Why a model could not be loaded. `file` is the model file throughout.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the model {} cannot be read: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("the model {} is {bytes} bytes long, more than {MODEL_BYTES_MAX}, which no ONNX file can be", file.display())]
    TooLarge { file: PathBuf, bytes: u64 },
    #[error("{} is no whole ONNX model: {reason}; export the model again or copy the file again", file.display())]
    NotOnnx { file: PathBuf, reason: String },
    #[error("the model {} uses operators that {target} lacks: {}; export it without them or use another target", file.display(), operators.join(", "))]
    Operators { file: PathBuf, target: TargetKind, operators: Vec<String> },
    #[error("the model {} has {} inputs ({}), but its manifest's picture is for one: leave `[input.picture]` out and send tensors, or export it with one input", file.display(), inputs.len(), inputs.join(", "))]
    Inputs { file: PathBuf, inputs: Vec<String> },
    /// A type, rank or size that a task cannot bring or get back.
    #[error("the model {}: {reason}", file.display())]
    Unsuitable { file: PathBuf, reason: String },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the manifest contradicts the model {}: {reason}; correct the manifest", file.display())]
    Contradiction { file: PathBuf, reason: String },
    /// The target understood the file but cannot prepare it to run.
    #[error("{target} cannot run the model {}: it failed to {step}: {reason}", file.display())]
    Target { file: PathBuf, target: TargetKind, step: &'static str, reason: String },
    #[error("{target} crashed on the model {}: {reason}; the model is broken or meets a fault of the target", file.display())]
    Crashed { file: PathBuf, target: TargetKind, reason: String },
}

/// Why a target's runtime cannot be used on this machine, whatever the model is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target} cannot be used here: {reason}")]
pub struct RuntimeError {
    pub target: TargetKind,
    pub reason: String,
}

/// Why a run gave no answer. The model can be run again after each of these.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("the model takes {expected}, but got {got}")]
    WrongKind { expected: &'static str, got: &'static str },
    #[error("the model takes {} tensors ({}), but got {got}", expected.len(), expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    WrongCount { expected: Vec<TensorSpec>, got: usize },
    #[error("the model takes {expected}, but got {element} {shape:?}")]
    WrongTensor { expected: TensorSpec, element: ElementType, shape: Vec<usize> },
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(
        "the model's scores are not numbers (NaN, first for class {class}): its input or its weights are out of range"
    )]
    NotANumber { class: usize },
    #[error(
        "{target} computes with whole numbers of 32 bits, and the input `{input}` has {number}, which would become another one: send smaller numbers, or run the model by another target"
    )]
    Range { target: TargetKind, input: String, number: i128 },
    #[error("{target} failed to run the model: {reason}")]
    Target { target: TargetKind, reason: String },
    #[error("{target} refused the input: {reason}")]
    Refused { target: TargetKind, reason: String },
    #[error("{target} crashed while it ran the model: {reason}")]
    Crashed { target: TargetKind, reason: String },
}

impl RunError {
    /// Whether the input is to blame, so that it would fail wherever it ran.
    pub fn is_inputs_fault(&self) -> bool {
        match self {
            Self::Picture(_)
            | Self::WrongKind { .. }
            | Self::WrongCount { .. }
            | Self::WrongTensor { .. }
            | Self::Tensor(_)
            | Self::Refused { .. }
            | Self::Range { .. } => true,
            // A device that computes wrongly gives such scores too.
            Self::NotANumber { .. } | Self::Target { .. } | Self::Crashed { .. } => false,
        }
    }
}

/// Why bytes are no tensor of their shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    #[error("a tensor {element} {shape:?} takes {expected} bytes, but there are {got}")]
    Length { element: ElementType, shape: Vec<usize>, expected: usize, got: usize },
    #[error("a tensor {element} {shape:?} takes more than the {TENSOR_BYTES_MAX} bytes allowed: send smaller ones")]
    TooLarge { element: ElementType, shape: Vec<usize> },
    #[error("a tensor of truth values has a byte other than 0 and 1")]
    NotATruthValue,
}
