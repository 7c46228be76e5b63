//! OpenVINO where there is none: it has no release for 32-bit boards.

use crate::error::{LoadError, RunError, RuntimeError};
use crate::model::ModelDescription;
use crate::target::{Order, TargetKind};
use crate::tensor::{Tensor, TensorView};

/// No model is ever loaded.
#[derive(Debug)]
pub(crate) enum OpenvinoModel {}

impl OpenvinoModel {
    pub(crate) fn load(_: Order<'_>) -> Result<Self, LoadError> {
        let reason = "there is no OpenVINO for 32-bit processors: use tract".into();
        Err(RuntimeError { target: TargetKind::Openvino, reason }.into())
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        match *self {}
    }

    pub(crate) fn run(&self, _: &[TensorView<'_>]) -> Result<Vec<Tensor>, RunError> {
        match *self {}
    }
}
