//! The inputs of a model: each one's type, and a shape that tract can prepare for.

use tract_onnx::prelude::{InferenceFact, InferenceModel, TDim, TVec, TractError};
use tract_onnx::tract_hir::infer::Factoid;

use super::types::{datum_type, element_type};
use crate::tensor::{ElementType, TensorSpec, bytes_needed};

/// Why a model's input cannot be used.
pub(super) enum Fault {
    /// A task cannot bring it.
    Unsuitable(String),
    /// The manifest says otherwise.
    Contradiction(String),
    Target(TractError),
}

impl From<TractError> for Fault {
    fn from(error: TractError) -> Fault {
        Fault::Target(error)
    }
}

/// Fixes type and shape of one of the model's inputs: as the manifest's picture needs it, or with a batch of one. Any other
/// axis that the model leaves open stays open.
pub(super) fn fix(model: &mut InferenceModel, index: usize, picture: Option<[usize; 4]>) -> Result<TensorSpec, Fault> {
    let outlet = model.input_outlets()?.get(index).copied();
    let outlet = outlet.ok_or_else(|| Fault::Unsuitable(format!("it has no input {index}")))?;
    let name = model.node(outlet.node).name.clone();
    let fact = model.outlet_fact(outlet)?.clone();
    let Some(element) = fact.datum_type.concretize().and_then(element_type) else {
        let reason = format!("its input `{name}` is of type {:?}, which no task can bring", fact.datum_type);
        return Err(Fault::Unsuitable(reason));
    };
    let axes = match picture {
        Some(shape) => picture_axes(&name, element, &fact, shape)?,
        None => task_axes(model, &name, &fact)?,
    };
    let lengths = |axis: &TDim| axis.as_i64().and_then(|length| usize::try_from(length).ok());
    let shape: Vec<Option<usize>> = axes.iter().map(lengths).collect();
    let fixed: Vec<usize> = shape.iter().flatten().copied().collect();
    bytes_needed(element, &fixed).map_err(|error| Fault::Unsuitable(format!("its input `{name}`: {error}")))?;
    model.set_input_fact(index, InferenceFact::dt_shape(datum_type(element), axes))?;
    Ok(TensorSpec { name, element, shape })
}

/// The axes of the picture's tensor, if the model can take it.
fn picture_axes(
    name: &str,
    element: ElementType,
    fact: &InferenceFact,
    picture: [usize; 4],
) -> Result<TVec<TDim>, Fault> {
    let axes = picture.map(|length| TDim::from(i64::try_from(length).expect("a manifest's sides are at most 2048")));
    let fits = |(model, picture): (Option<TDim>, &TDim)| model.is_none_or(|m| m.as_i64().is_none() || m == *picture);
    let mut known = fact.shape.dims().map(Factoid::concretize).zip(&axes);
    let same_rank = fact.shape.is_open() || fact.shape.dims().count() == axes.len();
    if element == ElementType::F32 && same_rank && known.all(fits) {
        return Ok(axes.into_iter().collect());
    }
    let model = format!("`{name}` {element} {:?}", fact.shape);
    Err(Fault::Contradiction(format!("its picture becomes f32 {picture:?}, but the model takes {model}")))
}

/// The axes of a task's tensor: as the model says, with a batch of one where it leaves the first axis open.
fn task_axes(model: &InferenceModel, name: &str, fact: &InferenceFact) -> Result<TVec<TDim>, Fault> {
    if fact.shape.is_open() {
        let reason = format!("its input `{name}` may have any number of axes: export it with a fixed number");
        return Err(Fault::Unsuitable(reason));
    }
    let axis = |(index, axis): (usize, Option<TDim>)| match axis {
        Some(length) if length.as_i64().is_some() => length,
        _ if index == 0 => TDim::from(1),
        Some(expression) => expression,
        None => model.symbols.new_with_prefix("axis").into(),
    };
    Ok(fact.shape.dims().map(Factoid::concretize).enumerate().map(axis).collect())
}
