//! OpenVINO: its library is loaded once a model asks for it.

mod compile;
mod library;
mod tensors;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use openvino::{CompiledModel, Core, InferRequest, InferenceError};

use crate::error::{LoadError, RunError};
use crate::model::ModelDescription;
use crate::target::{Order, TargetKind};
use crate::tensor::{Tensor, TensorView};

/// A model that OpenVINO has compiled. Runs from several threads take turns: it is the runtime that has threads.
pub(crate) struct OpenvinoModel {
    description: ModelDescription,
    compiled: Mutex<Compiled>,
}

/// Whatever stands first is dropped first: nothing outlives what it was made by.
struct Compiled {
    request: InferRequest,
    /// The tensors of the run before, filled anew where their shape is right.
    inputs: Vec<Option<openvino::Tensor>>,
    _model: CompiledModel,
    _core: Core,
}

impl OpenvinoModel {
    pub(crate) fn load(mut order: Order<'_>) -> Result<Self, LoadError> {
        let device = order.place.device.as_deref().unwrap_or("CPU");
        let core = library::core(order.place.library.as_deref(), device)?;
        let compile::Ready { core, model, request, description } = compile::compile(core, device, &mut order)?;
        let inputs = description.inputs.iter().map(|_| None).collect();
        let compiled = Compiled { request, inputs, _model: model, _core: core };
        Ok(Self { description, compiled: Mutex::new(compiled) })
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Runs tensors that have been checked against the description.
    pub(crate) fn run(&self, inputs: &[TensorView<'_>]) -> Result<Vec<Tensor>, RunError> {
        for (input, spec) in inputs.iter().zip(&self.description.inputs) {
            if let Some(number) = tensors::out_of_range(input) {
                return Err(RunError::Range { target: TargetKind::Openvino, input: spec.name.clone(), number });
            }
        }
        // A run that panicked leaves nothing that the next does not set anew.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let Compiled { request, inputs: held, .. } = &mut *compiled;
        for (index, (input, held)) in inputs.iter().zip(held).enumerate() {
            let tensor = tensors::fill(held.take(), input).map_err(failed)?;
            request.set_input_tensor_by_index(index, &tensor).map_err(failed)?;
            *held = Some(tensor);
        }
        request.infer().map_err(failed)?;
        let output = |index| request.get_output_tensor_by_index(index).map_err(failed);
        (0..self.description.outputs.len()).map(|index| tensors::read(&output(index)?)).collect()
    }
}

impl fmt::Debug for OpenvinoModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenvinoModel").field("description", &self.description).finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: InferenceError) -> RunError {
    RunError::Target { target: TargetKind::Openvino, reason: error.to_string() }
}
