//! The types of number a tensor can hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bytes_needed;
use crate::error::TensorError;

/// The type of number a tensor holds; named alike on the wire, in errors and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// One byte, 0 or 1.
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// IEEE half precision.
    F16,
    F32,
    F64,
}

/// A name that is no type of element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type of element: use one of bool, u8, i8, u16, i16, u32, i32, u64, i64, f16, f32, f64")]
pub struct UnknownElementType(pub String);

impl ElementType {
    pub const ALL: [ElementType; 12] = [
        ElementType::Bool,
        ElementType::U8,
        ElementType::I8,
        ElementType::U16,
        ElementType::I16,
        ElementType::U32,
        ElementType::I32,
        ElementType::U64,
        ElementType::I64,
        ElementType::F16,
        ElementType::F32,
        ElementType::F64,
    ];

    /// Bytes one element takes.
    pub const fn bytes(self) -> usize {
        match self {
            ElementType::Bool | ElementType::U8 | ElementType::I8 => 1,
            ElementType::U16 | ElementType::I16 | ElementType::F16 => 2,
            ElementType::U32 | ElementType::I32 | ElementType::F32 => 4,
            ElementType::U64 | ElementType::I64 | ElementType::F64 => 8,
        }
    }

    /// Bytes that a tensor of this shape takes.
    pub fn bytes_of(self, shape: &[usize]) -> Result<usize, TensorError> {
        bytes_needed(self, shape)
    }

    pub const fn name(self) -> &'static str {
        match self {
            ElementType::Bool => "bool",
            ElementType::U8 => "u8",
            ElementType::I8 => "i8",
            ElementType::U16 => "u16",
            ElementType::I16 => "i16",
            ElementType::U32 => "u32",
            ElementType::I32 => "i32",
            ElementType::U64 => "u64",
            ElementType::I64 => "i64",
            ElementType::F16 => "f16",
            ElementType::F32 => "f32",
            ElementType::F64 => "f64",
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ElementType {
    type Err = UnknownElementType;

    fn from_str(name: &str) -> Result<ElementType, UnknownElementType> {
        let found = ElementType::ALL.into_iter().find(|element| element.name() == name);
        found.ok_or_else(|| UnknownElementType(name.to_owned()))
    }
}
