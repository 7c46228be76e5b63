//! The inputs that an ONNX file names.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Length;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{ModelProto, TensorShapeProto, ValueInfoProto};

use crate::inputs::{Fault, fix};
use crate::tensor::{ElementType, TensorSpec};

/// What tasks bring.
pub(super) struct Taken {
    pub(super) specs: Vec<TensorSpec>,
    /// The lengths that axes of these names have now.
    pub(super) named: Vec<(String, usize)>,
    pub(super) is_fixed_by_us: bool,
}

/// What the file says of each input that a task has to bring, and what of that tasks bring.
pub(super) fn taken(model: &ModelProto, picture: Option<[usize; 4]>) -> Result<Taken, Fault> {
    let inputs = of(model);
    let rank = picture.map(|picture| picture.len());
    let mut specs = inputs.iter().map(|input| spec(input, rank)).collect::<Result<Vec<_>, _>>()?;
    let before = specs.clone();
    let is_fixed_by_us = fix(&mut specs, picture)?;
    let mut named = Vec::new();
    for ((input, before), spec) in inputs.iter().zip(&before).zip(&specs) {
        let names = shape(input).into_iter().flat_map(names);
        for ((name, before), now) in names.zip(&before.shape).zip(&spec.shape) {
            if let (Some(name), None, Some(length)) = (name, before, now) {
                named.push((name.to_owned(), *length));
            }
        }
    }
    // An axis of the same name has the same length wherever it stands.
    for (input, spec) in inputs.iter().zip(&mut specs) {
        let names = shape(input).into_iter().flat_map(names);
        for (name, axis) in names.zip(&mut spec.shape).filter(|(_, axis)| axis.is_none()) {
            *axis = named.iter().find(|(known, _)| Some(known.as_str()) == name).map(|(_, length)| *length);
        }
    }
    Ok(Taken { specs, named, is_fixed_by_us })
}

/// Old files name their weights among the inputs, too: a task does not bring those.
fn of(model: &ModelProto) -> Vec<&ValueInfoProto> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let is_weight = |name: &str| graph.initializer.iter().any(|weight| weight.name == name);
    graph.input.iter().filter(|input| !is_weight(&input.name)).collect()
}

/// `rank` is how many axes one has that may have any number.
fn spec(input: &ValueInfoProto, rank: Option<usize>) -> Result<TensorSpec, Fault> {
    let name = input.name.clone();
    let tensor = input.r#type.as_ref().and_then(|of| of.value.as_ref()).map(|Type::TensorType(tensor)| tensor);
    let data_type = tensor.and_then(|tensor| DataType::try_from(tensor.elem_type).ok());
    let element = data_type.and_then(element_type).ok_or_else(|| {
        let what = data_type.map_or("that is no tensor", |of| of.as_str_name());
        Fault::Unsuitable(format!("its input `{name}` is of type {what}, which no task can bring"))
    })?;
    let length = |axis: &_| match axis {
        Some(Length::DimValue(length)) => usize::try_from(*length).ok(),
        _ => None,
    };
    let axes = shape(input).map(|shape| shape.dim.iter().map(|axis| length(&axis.value)).collect());
    let shape = axes.or_else(|| rank.map(|rank| vec![None; rank])).ok_or_else(|| {
        Fault::Unsuitable(format!("its input `{name}` may have any number of axes: export it with a fixed number"))
    })?;
    Ok(TensorSpec { name, element, shape })
}

fn shape(input: &ValueInfoProto) -> Option<&TensorShapeProto> {
    let Type::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    tensor.shape.as_ref()
}

/// The name of each axis that is left open.
fn names(shape: &TensorShapeProto) -> impl Iterator<Item = Option<&str>> {
    shape.dim.iter().map(|axis| match &axis.value {
        Some(Length::DimParam(name)) if !name.is_empty() => Some(name.as_str()),
        _ => None,
    })
}

fn element_type(of: DataType) -> Option<ElementType> {
    Some(match of {
        DataType::Bool => ElementType::Bool,
        DataType::Uint8 => ElementType::U8,
        DataType::Int8 => ElementType::I8,
        DataType::Uint16 => ElementType::U16,
        DataType::Int16 => ElementType::I16,
        DataType::Uint32 => ElementType::U32,
        DataType::Int32 => ElementType::I32,
        DataType::Uint64 => ElementType::U64,
        DataType::Int64 => ElementType::I64,
        DataType::Float16 => ElementType::F16,
        DataType::Float => ElementType::F32,
        DataType::Double => ElementType::F64,
        _ => return None,
    })
}
