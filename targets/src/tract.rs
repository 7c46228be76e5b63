//! tract: ONNX models in pure Rust, on any CPU, one thread a run.

mod input;
mod operators;
mod prepare;
mod types;

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::{DatumType, IntoTensor as _, TValue, Tensor as TractTensor, TractError};
use tract_onnx::prelude::{TypedRunnableModel, TypedSimpleState};

use crate::error::{LoadError, RunError};
use crate::model::ModelDescription;
use crate::target::{Order, TargetKind};
use crate::tensor::{ElementType, Tensor, TensorView};

/// A model that tract has prepared.
#[derive(Debug)]
pub(crate) struct TractModel {
    description: ModelDescription,
    plan: Arc<TypedRunnableModel>,
    /// The working memory of the run before. Making it anew took 0.4 of a trivial run's 1.3 µs.
    idle: Mutex<Option<TypedSimpleState>>,
}

impl TractModel {
    pub(crate) fn load(order: Order<'_>) -> Result<TractModel, LoadError> {
        let (plan, description) = prepare::prepare(order)?;
        Ok(TractModel { description, plan, idle: Mutex::new(None) })
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Runs tensors that have been checked against the description.
    pub(crate) fn run(&self, inputs: &[TensorView<'_>]) -> Result<Vec<Tensor>, RunError> {
        // The state is taken out for the run: a second run at the same time makes its own, and one that fails or
        // panics half way is dropped with all it left behind.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = idle.map_or_else(|| self.plan.spawn(), Ok).map_err(failed)?;
        let inputs = inputs.iter().map(to_tract).collect::<Result<_, _>>()?;
        let outputs = state.run(inputs).map_err(failed)?;
        // A recurrent operator would go on where this task's sequence ended, and the next answer would be wrong.
        if state.op_states.iter().all(Option::is_none) {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        }
        outputs.into_iter().map(from_tract).collect()
    }
}

fn to_tract(input: &TensorView<'_>) -> Result<TValue, RunError> {
    let mut tensor = TractTensor::zero_dt(types::datum_type(input.element), input.shape).map_err(failed)?;
    tensor.as_bytes_mut().copy_from_slice(input.bytes);
    Ok(tensor.into())
}

fn from_tract(output: TValue) -> Result<Tensor, RunError> {
    let output = output.into_tensor();
    let output = if output.datum_type() == DatumType::TDim {
        output.cast_to::<i64>().map_err(failed)?.into_owned()
    } else {
        output
    };
    let element = types::element_type(output.datum_type()).ok_or_else(|| unknown(output.datum_type()))?;
    Ok(Tensor::new(element, output.shape().to_vec(), output.as_bytes().to_vec())?)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: TractError) -> RunError {
    RunError::Target { target: TargetKind::Tract, reason: format!("{error:#}") }
}

fn unknown(datum_type: DatumType) -> RunError {
    let known = ElementType::ALL.map(ElementType::name).join(", ");
    let reason = format!("an output has numbers of type {datum_type:?}, which is none of {known}");
    RunError::Target { target: TargetKind::Tract, reason }
}
