//! From a file to a model that OpenVINO has compiled for a device.

use std::io::Read as _;

use openvino::{CompiledModel, Core, DeviceType, Dimension, InferRequest, InferenceError, Model, Node, PartialShape};
use openvino::{ElementType as OvType, RwPropertyKey};

use super::tensors;
use crate::error::LoadError;
use crate::inputs::fix;
use crate::ir;
use crate::model::ModelDescription;
use crate::onnx;
use crate::target::{Order, TargetKind};
use crate::tensor::TensorSpec;

/// A compiled model and all that it needs.
pub(super) struct Ready {
    pub(super) core: Core,
    pub(super) model: CompiledModel,
    pub(super) request: InferRequest,
    pub(super) description: ModelDescription,
}

pub(super) fn compile(mut core: Core, device: &str, order: &mut Order<'_>) -> Result<Ready, LoadError> {
    let path = order.path.to_owned();
    let failed = |step| {
        let file = path.clone();
        move |why: InferenceError| LoadError::Target {
            file,
            target: TargetKind::Openvino,
            step,
            reason: why.to_string(),
        }
    };
    // 1. Read it, as one or the other.
    let (mut model, taken) = if ir::begins(&mut order.file).map_err(|source| unread(order, source))? {
        (read_ir(&mut core, order)?, None)
    } else {
        let read = onnx::read(order)?;
        let model = core.read_model_from_buffer(&read.bytes, None).map_err(failed("read its graph"))?;
        (model, Some(read))
    };
    // 2. Fix what tasks bring.
    let (inputs, is_fixed_by_us) = match taken {
        Some(read) => (read.inputs, read.is_fixed_by_us),
        None => inputs_of_ir(&model, order)?,
    };
    if is_fixed_by_us {
        reshape(&mut model, &inputs).map_err(failed("fix the shape of its inputs"))?;
    }
    // 3. Compile it, or take what was compiled before.
    set_up(&mut core, device, order).map_err(failed("set it up"))?;
    let mut model = core.compile_model(&model, DeviceType::from(device)).map_err(failed("compile it"))?;
    let count = model.get_output_size().map_err(failed("list its outputs"))?;
    let outputs = (0..count).map(|index| {
        let node = model.get_output_by_index(index).map_err(failed("list its outputs"))?;
        spec(&node, index, "output").map_err(|reason| LoadError::Unsuitable { file: path.clone(), reason })
    });
    let outputs = outputs.collect::<Result<_, LoadError>>()?;
    let request = model.create_infer_request().map_err(failed("make room for a run"))?;
    Ok(Ready { core, model, request, description: ModelDescription { inputs, outputs } })
}

fn read_ir(core: &mut Core, order: &mut Order<'_>) -> Result<Model, LoadError> {
    let path = order.path;
    let mut bytes = Vec::new();
    order.file.read_to_end(&mut bytes).map_err(|source| unread(order, source))?;
    let (xml, weights) = ir::unpack(&bytes)
        .map_err(|reason| LoadError::Unsuitable { file: path.to_owned(), reason: reason.to_owned() })?;
    let held = tensors::of_bytes(weights);
    let model = held.and_then(|weights| core.read_model_from_buffer(xml, weights.as_ref()));
    model.map_err(|why| LoadError::Target {
        file: path.to_owned(),
        target: TargetKind::Openvino,
        step: "read its graph",
        reason: why.to_string(),
    })
}

/// What tasks bring for a model whose file only OpenVINO reads, and whether a length of it is not in the file.
fn inputs_of_ir(model: &Model, order: &Order<'_>) -> Result<(Vec<TensorSpec>, bool), LoadError> {
    let unsuitable = |reason| LoadError::Unsuitable { file: order.path.to_owned(), reason };
    let count = model.get_inputs_len().map_err(|why| unsuitable(format!("its inputs cannot be read: {why}")))?;
    let mut inputs = Vec::with_capacity(count);
    for index in 0..count {
        let node = model.get_input_by_index(index);
        let node = node.map_err(|why| unsuitable(format!("its input {index} cannot be read: {why}")))?;
        inputs.push(spec(&node, index, "input").map_err(unsuitable)?);
    }
    let is_fixed_by_us = fix(&mut inputs, order.picture_shape).map_err(|fault| fault.of(order.path))?;
    Ok((inputs, is_fixed_by_us))
}

fn reshape(model: &mut Model, inputs: &[TensorSpec]) -> Result<(), InferenceError> {
    let shapes = inputs.iter().map(|input| {
        let length = |axis: &Option<usize>| axis.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1);
        let axes: Vec<Dimension> =
            input.shape.iter().map(length).map(|length| Dimension::new(length, length)).collect();
        PartialShape::new(i64::try_from(axes.len()).unwrap_or(-1), &axes)
    });
    let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
    model.reshape_by_port_indexes(&shapes.iter().enumerate().collect::<Vec<_>>())
}

fn set_up(core: &mut Core, device: &str, order: &Order<'_>) -> Result<(), InferenceError> {
    let on = DeviceType::from(device);
    let precision = order.manifest.openvino.precision.name();
    core.set_property(&on, &RwPropertyKey::HintInferencePrecision, precision)?;
    // Workers answer one task after the other: what counts is how long one takes.
    core.set_property(&on, &RwPropertyKey::HintPerformanceMode, "LATENCY")?;
    if device == "CPU" {
        core.set_property(&on, &RwPropertyKey::InferenceNumThreads, &order.place.threads.max(1).to_string())?;
        // Each worker would pin its threads to the same first cores.
        core.set_property(&on, &RwPropertyKey::HintEnableCpuPinning, "NO")?;
    }
    if let Some(cache) = order.place.cache.as_deref().and_then(|cache| cache.to_str()) {
        core.set_property(&on, &RwPropertyKey::CacheDir, cache)?;
    }
    Ok(())
}

/// What a model says about one of its inputs or outputs, or why no task has to do with it.
fn spec(node: &Node, index: usize, what: &str) -> Result<TensorSpec, String> {
    // A tensor need not have a name.
    let name = node.get_name().unwrap_or_else(|_| format!("{what}{index}"));
    let element = node.get_element_type().unwrap_or(OvType::Dynamic);
    let element = tensors::element_type(element)
        .ok_or_else(|| format!("its {what} `{name}` is of type {element:?}, which no task can bring or get back"))?;
    let shape = node.get_partial_shape().map_err(|why| format!("the shape of its {what} `{name}`: {why}"))?;
    if shape.get_rank().is_dynamic() {
        return Err(format!("its {what} `{name}` may have any number of axes: export it with a fixed number"));
    }
    let axes = shape.get_dimensions().iter().map(|axis| {
        let (least, most) = (axis.get_min(), axis.get_max());
        usize::try_from(least).ok().filter(|_| least == most)
    });
    Ok(TensorSpec { name, element, shape: axes.collect() })
}

fn unread(order: &Order<'_>, source: std::io::Error) -> LoadError {
    LoadError::Read { file: order.path.to_owned(), source }
}
