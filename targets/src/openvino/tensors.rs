//! Tensors on their way to OpenVINO and back.

use openvino::{ElementType as OvType, InferenceError, Shape, Tensor as OvTensor};

use super::failed;
use crate::error::RunError;
use crate::target::TargetKind;
use crate::tensor::{ElementType, Tensor, TensorView};

/// The first whole number that OpenVINO would cut: whatever a model's type is, it computes with 32 bits and a sign.
pub(super) fn out_of_range(input: &TensorView<'_>) -> Option<i128> {
    fn first<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i128) -> Option<i128> {
        let (numbers, _) = bytes.as_chunks::<N>();
        numbers.iter().map(|number| read(*number)).find(|number| i32::try_from(*number).is_err())
    }
    match input.element {
        ElementType::U32 => first(input.bytes, |number| u32::from_le_bytes(number).into()),
        ElementType::I64 => first(input.bytes, |number| i64::from_le_bytes(number).into()),
        ElementType::U64 => first(input.bytes, |number| u64::from_le_bytes(number).into()),
        _ => None,
    }
}

/// A tensor of these numbers: the one from the run before if its shape is right, else a new one.
pub(super) fn fill(held: Option<OvTensor>, input: &TensorView<'_>) -> Result<OvTensor, InferenceError> {
    let lengths: Vec<i64> = input.shape.iter().map(|length| i64::try_from(*length).unwrap_or(i64::MAX)).collect();
    let fits = |held: &OvTensor| held.get_shape().is_ok_and(|shape| shape.get_dimensions() == lengths);
    let mut tensor = match held.filter(fits) {
        Some(tensor) => tensor,
        None => OvTensor::new(ov_type(input.element), &Shape::new(&lengths)?)?,
    };
    // Where there is no number there is no memory either.
    if !input.bytes.is_empty() {
        tensor.get_raw_data_mut()?.copy_from_slice(input.bytes);
    }
    Ok(tensor)
}

/// A row of bytes, as the reader of an IR takes its weights; none where there is none.
pub(super) fn of_bytes(bytes: &[u8]) -> Result<Option<OvTensor>, InferenceError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    fill(None, &TensorView { element: ElementType::U8, shape: &[bytes.len()], bytes }).map(Some)
}

pub(super) fn read(output: &OvTensor) -> Result<Tensor, RunError> {
    let of = output.get_element_type().map_err(failed)?;
    let element = element_type(of).ok_or_else(|| {
        let reason = format!("an output is of type {of:?}, which no task can get back");
        RunError::Target { target: TargetKind::Openvino, reason }
    })?;
    let shape = output.get_shape().map_err(failed)?;
    let lengths: Vec<usize> =
        shape.get_dimensions().iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect();
    let bytes = if lengths.contains(&0) { Vec::new() } else { output.get_raw_data().map_err(failed)?.to_vec() };
    Ok(Tensor::new(element, lengths, bytes)?)
}

fn ov_type(element: ElementType) -> OvType {
    match element {
        ElementType::Bool => OvType::Boolean,
        ElementType::U8 => OvType::U8,
        ElementType::I8 => OvType::I8,
        ElementType::U16 => OvType::U16,
        ElementType::I16 => OvType::I16,
        ElementType::U32 => OvType::U32,
        ElementType::I32 => OvType::I32,
        ElementType::U64 => OvType::U64,
        ElementType::I64 => OvType::I64,
        ElementType::F16 => OvType::F16,
        ElementType::F32 => OvType::F32,
        ElementType::F64 => OvType::F64,
    }
}

/// Nothing for texts and for what has fewer bits than a byte.
pub(super) fn element_type(of: OvType) -> Option<ElementType> {
    ElementType::ALL.into_iter().find(|element| ov_type(*element) == of)
}
