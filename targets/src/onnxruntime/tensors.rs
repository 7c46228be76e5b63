//! Tensors on their way to ONNX Runtime and back. Bytes may lie anywhere, its numbers must not: each is copied once.

use std::fmt::Debug;

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, ValueRef, ValueType};

use super::failed;
use crate::error::RunError;
use crate::target::TargetKind;
use crate::tensor::{ElementType, Tensor, TensorSpec, TensorView};

pub(super) fn to_ort(input: &TensorView<'_>) -> Result<SessionInputValue<'static>, ort::Error> {
    let value = match input.element {
        ElementType::Bool => value(input, |[byte]| byte != 0),
        ElementType::U8 => value(input, u8::from_le_bytes),
        ElementType::I8 => value(input, i8::from_le_bytes),
        ElementType::U16 => value(input, u16::from_le_bytes),
        ElementType::I16 => value(input, i16::from_le_bytes),
        ElementType::U32 => value(input, u32::from_le_bytes),
        ElementType::I32 => value(input, i32::from_le_bytes),
        ElementType::U64 => value(input, u64::from_le_bytes),
        ElementType::I64 => value(input, i64::from_le_bytes),
        ElementType::F16 => value(input, f16::from_le_bytes),
        ElementType::F32 => value(input, f32::from_le_bytes),
        ElementType::F64 => value(input, f64::from_le_bytes),
    };
    value.map(SessionInputValue::Owned)
}

fn value<T, const N: usize>(input: &TensorView<'_>, read: impl Fn([u8; N]) -> T) -> Result<DynValue, ort::Error>
where
    T: PrimitiveTensorElementType + Debug + Clone + 'static,
{
    let (numbers, _) = input.bytes.as_chunks::<N>();
    let numbers: Vec<T> = numbers.iter().map(|number| read(*number)).collect();
    Ok(ort::value::Tensor::from_array((input.shape.to_vec(), numbers))?.into_dyn())
}

pub(super) fn from_ort(output: &ValueRef<'_>) -> Result<Tensor, RunError> {
    let ValueType::Tensor { ty, shape, .. } = output.dtype() else {
        return Err(unknown(&output.dtype().to_string()));
    };
    let element = element_type(*ty).ok_or_else(|| unknown(&ty.to_string()))?;
    let lengths = shape.iter().map(|length| usize::try_from(*length)).collect::<Result<Vec<_>, _>>();
    let lengths = lengths.map_err(|_| unknown(&output.dtype().to_string()))?;
    // Where there is no number there may be no memory either.
    if lengths.contains(&0) {
        return Ok(Tensor::new(element, lengths, Vec::new())?);
    }
    let bytes = match element {
        ElementType::Bool => bytes(output, |truth: bool| [u8::from(truth)]),
        ElementType::U8 => bytes(output, u8::to_le_bytes),
        ElementType::I8 => bytes(output, i8::to_le_bytes),
        ElementType::U16 => bytes(output, u16::to_le_bytes),
        ElementType::I16 => bytes(output, i16::to_le_bytes),
        ElementType::U32 => bytes(output, u32::to_le_bytes),
        ElementType::I32 => bytes(output, i32::to_le_bytes),
        ElementType::U64 => bytes(output, u64::to_le_bytes),
        ElementType::I64 => bytes(output, i64::to_le_bytes),
        ElementType::F16 => bytes(output, f16::to_le_bytes),
        ElementType::F32 => bytes(output, f32::to_le_bytes),
        ElementType::F64 => bytes(output, f64::to_le_bytes),
    };
    Ok(Tensor::new(element, lengths, bytes.map_err(failed)?)?)
}

fn bytes<T, const N: usize>(output: &ValueRef<'_>, write: impl Fn(T) -> [u8; N]) -> Result<Vec<u8>, ort::Error>
where
    T: PrimitiveTensorElementType + Copy,
{
    let (_, numbers) = output.try_extract_tensor::<T>()?;
    let mut bytes = vec![0; numbers.len() * N];
    let (places, _) = bytes.as_chunks_mut::<N>();
    for (place, number) in places.iter_mut().zip(numbers) {
        *place = write(*number);
    }
    Ok(bytes)
}

/// What a model says about an output, or why no task can get it back.
pub(super) fn spec(output: &Outlet) -> Result<TensorSpec, String> {
    let name = output.name().to_owned();
    let unfit = |what: &dyn ToString| {
        format!("its output `{}` is of type {}, which no task can get back", output.name(), what.to_string())
    };
    let ValueType::Tensor { ty, shape, .. } = output.dtype() else { return Err(unfit(output.dtype())) };
    let element = element_type(*ty).ok_or_else(|| unfit(ty))?;
    // An open axis has a negative length.
    Ok(TensorSpec { name, element, shape: shape.iter().map(|length| usize::try_from(*length).ok()).collect() })
}

fn element_type(of: TensorElementType) -> Option<ElementType> {
    Some(match of {
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Float16 => ElementType::F16,
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        _ => return None,
    })
}

fn unknown(what: &str) -> RunError {
    let reason = format!("an output is of type {what}, which no task can get back");
    RunError::Target { target: TargetKind::Onnxruntime, reason }
}
