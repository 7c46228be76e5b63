//! The types of element that tract and a task have in common.

use tract_onnx::prelude::DatumType;

use crate::tensor::ElementType;

pub(super) fn datum_type(element: ElementType) -> DatumType {
    match element {
        ElementType::Bool => DatumType::Bool,
        ElementType::U8 => DatumType::U8,
        ElementType::I8 => DatumType::I8,
        ElementType::U16 => DatumType::U16,
        ElementType::I16 => DatumType::I16,
        ElementType::U32 => DatumType::U32,
        ElementType::I32 => DatumType::I32,
        ElementType::U64 => DatumType::U64,
        ElementType::I64 => DatumType::I64,
        ElementType::F16 => DatumType::F16,
        ElementType::F32 => DatumType::F32,
        ElementType::F64 => DatumType::F64,
    }
}

/// Nothing for texts and for types of tract's own.
pub(super) fn element_type(tract: DatumType) -> Option<ElementType> {
    ElementType::ALL.into_iter().find(|element| datum_type(*element) == tract)
}

/// As [`element_type`], for what comes out: tract computes with sizes in a type of its own where ONNX says i64.
pub(super) fn output_type(tract: DatumType) -> Option<ElementType> {
    if tract == DatumType::TDim { Some(ElementType::I64) } else { element_type(tract) }
}
