//! A model in the hands of another program, for devices whose runtime cannot be part of this one.

use std::fmt;

use crate::error::{LoadError, RunError};
use crate::model::{ModelDescription, ModelSource};
use crate::progress::Progress;
use crate::target::TargetKind;
use crate::tensor::{ElementType, Tensor, TensorSpec, TensorView};

/// Has the program run tensors that were checked against the description.
pub type ProgramRun = Box<dyn Fn(&[TensorView<'_>], &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> + Send + Sync>;

/// A program that has a model loaded: what it says of the model, and the way to have it run.
pub struct Program {
    pub description: ModelDescription,
    pub run: ProgramRun,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Program {
    /// Whether it takes the pictures that a manifest makes.
    pub(crate) fn check_picture(&self, source: &ModelSource<'_>, shape: [usize; 4]) -> Result<(), LoadError> {
        let fits = |input: &TensorSpec| {
            let axes = input.shape.iter().zip(shape);
            input.element == ElementType::F32
                && input.shape.len() == shape.len()
                && axes.into_iter().all(|(axis, length)| axis.is_none_or(|axis| axis == length))
        };
        match &self.description.inputs[..] {
            [input] if fits(input) => Ok(()),
            inputs => Err(LoadError::Contradiction {
                file: source.file.to_owned(),
                reason: format!(
                    "the manifest makes pictures of f32 {shape:?}, and by the program the model takes {}",
                    inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
            }),
        }
    }

    /// What it gave, checked against nothing but the limits of tensors: the program knows its model best.
    pub(crate) fn run(&self, inputs: &[TensorView<'_>], progress: &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> {
        let outputs = (self.run)(inputs, progress)?;
        if outputs.is_empty() && !self.description.outputs.is_empty() {
            let reason = "the program gave no tensor".into();
            return Err(RunError::Target { target: TargetKind::Process, reason });
        }
        Ok(outputs)
    }
}
