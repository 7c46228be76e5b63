//! From an ONNX file to a plan that tract can run.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::{Framework as _, InferenceModel, InferenceModelExt as _, IntoRunnable as _};
use tract_onnx::prelude::{TractError, TypedRunnableModel};

use super::input::{Fault, fix};
use super::operators;
use super::types::output_type;
use crate::error::LoadError;
use crate::model::ModelDescription;
use crate::onnx;
use crate::target::{Order, TargetKind};
use crate::tensor::TensorSpec;

/// Reads, checks and optimises a model.
pub(super) fn prepare(mut order: Order<'_>) -> Result<(Arc<TypedRunnableModel>, ModelDescription), LoadError> {
    onnx::refuse_ir(&mut order)?;
    let Order { path, mut file, picture_shape, .. } = order;
    let failed = |step| move |error: TractError| target_error(path, step, &error);
    // 1. Decode, and refuse what is no whole model before tract makes guesses about it. Shapes that the exporter wrote
    //    down for inner values are ignored: with an open batch they contradict the batch of one.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let proto = onnx.proto_model_for_read(&mut file).map_err(|error| unread(path, error))?;
    onnx::check(path, &proto)?;
    let operators = operators::missing(&onnx, &proto);
    if !operators.is_empty() {
        return Err(LoadError::Operators { file: path.to_owned(), target: TargetKind::Tract, operators });
    }
    // 2. Build the graph.
    let mut model = onnx.model_for_proto_model(&proto).map_err(failed("read its graph"))?;
    drop(proto);
    let names = input_names(&model).map_err(failed("list its inputs"))?;
    if picture_shape.is_some() && names.len() != 1 {
        return Err(LoadError::Inputs { file: path.to_owned(), inputs: names });
    }
    // 3. Fix the inputs, and work out every type and shape from them.
    let inputs = (0..names.len()).map(|index| fix(&mut model, index, picture_shape));
    let inputs = inputs.collect::<Result<Vec<_>, _>>().map_err(|fault| input_error(path, fault))?;
    let model = model.into_typed().map_err(failed("work out its types and shapes"))?;
    // 4. Simplify, choose the fastest kernels, put it in order.
    let model = model.into_decluttered().map_err(failed("simplify it"))?;
    let model = model.into_optimized().map_err(failed("optimise it"))?;
    let plan = model.into_runnable().map_err(failed("plan its run"))?;
    let outputs = outputs(&plan).map_err(|reason| LoadError::Unsuitable { file: path.to_owned(), reason })?;
    Ok((plan, ModelDescription { inputs, outputs }))
}

fn unread(path: &Path, error: TractError) -> LoadError {
    let file = path.to_owned();
    match error.downcast::<io::Error>() {
        Ok(source) => LoadError::Read { file, source },
        Err(error) => LoadError::NotOnnx { file, reason: format!("{error:#}") },
    }
}

fn input_names(model: &InferenceModel) -> Result<Vec<String>, TractError> {
    let inputs = model.input_outlets()?;
    Ok(inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect())
}

fn input_error(path: &Path, fault: Fault) -> LoadError {
    let file = path.to_owned();
    match fault {
        Fault::Unsuitable(reason) => LoadError::Unsuitable { file, reason },
        Fault::Contradiction(reason) => LoadError::Contradiction { file, reason },
        Fault::Target(error) => target_error(path, "fix its input", &error),
    }
}

fn target_error(path: &Path, step: &'static str, error: &TractError) -> LoadError {
    LoadError::Target { file: path.to_owned(), target: TargetKind::Tract, step, reason: format!("{error:#}") }
}

fn outputs(plan: &TypedRunnableModel) -> Result<Vec<TensorSpec>, String> {
    let model = plan.model();
    let outlets = model.output_outlets().map_err(|error| format!("{error:#}"))?;
    let spec = |outlet| {
        let fact = model.outlet_fact(outlet).map_err(|error| format!("{error:#}"))?;
        let label = model.outlet_label(outlet).map(str::to_owned);
        let name = label.unwrap_or_else(|| model.node(outlet.node).name.clone());
        let known = output_type(fact.datum_type);
        let element = known.ok_or_else(|| {
            format!("its output `{name}` is of type {:?}, which no task can get back", fact.datum_type)
        })?;
        let lengths = fact.shape.iter().map(|axis| axis.as_i64().and_then(|length| usize::try_from(length).ok()));
        Ok(TensorSpec { name, element, shape: lengths.collect() })
    };
    outlets.iter().copied().map(spec).collect()
}
