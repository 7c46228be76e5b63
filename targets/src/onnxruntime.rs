//! ONNX Runtime: its library is loaded once a model asks for it.

mod library;
mod session;
mod tensors;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ort::session::{Session, SessionInputValue};

use crate::error::{LoadError, RunError};
use crate::model::ModelDescription;
use crate::onnx;
use crate::target::{Order, TargetKind};
use crate::tensor::{Tensor, TensorView};

/// A model that ONNX Runtime has prepared. Runs from several threads take turns: it is the session that has threads.
pub(crate) struct OnnxruntimeModel {
    description: ModelDescription,
    session: Mutex<Session>,
}

impl OnnxruntimeModel {
    pub(crate) fn load(mut order: Order<'_>) -> Result<Self, LoadError> {
        let environment = library::environment(order.place.library.as_deref())?;
        let model = onnx::read(&mut order)?;
        let file = || order.path.to_owned();
        let session = session::build(&environment, order.place, order.manifest.onnxruntime, &model);
        let session = session.map_err(|(step, reason)| LoadError::Target {
            file: file(),
            target: TargetKind::Onnxruntime,
            step,
            reason,
        })?;
        let outputs = session.outputs().iter().map(tensors::spec).collect::<Result<_, _>>();
        let outputs = outputs.map_err(|reason| LoadError::Unsuitable { file: file(), reason })?;
        let description = ModelDescription { inputs: model.inputs, outputs };
        Ok(Self { description, session: Mutex::new(session) })
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Runs tensors that have been checked against the description.
    pub(crate) fn run(&self, inputs: &[TensorView<'_>]) -> Result<Vec<Tensor>, RunError> {
        let values = inputs.iter().map(tensors::to_ort).collect::<Result<Vec<SessionInputValue<'_>>, _>>();
        let values = values.map_err(failed)?;
        // A run that panicked leaves nothing half done: the session is not changed by running it.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(&values[..]).map_err(failed)?;
        outputs.values().map(|output| tensors::from_ort(&output)).collect()
    }
}

impl fmt::Debug for OnnxruntimeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxruntimeModel").field("description", &self.description).finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: ort::Error) -> RunError {
    RunError::Target { target: TargetKind::Onnxruntime, reason: error.to_string() }
}
