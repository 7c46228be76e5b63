//! Tensors as bytes: type of element, shape, and the numbers themselves, little-endian, rows first.

mod element;

use serde::{Deserialize, Serialize};

use crate::error::{RunError, TensorError};

pub use element::{ElementType, UnknownElementType};

/// The largest tensor that is taken in, in bytes: a batch of eighty 1024 × 1024 pictures, and a quarter of a small board.
pub const TENSOR_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What a model says about one of its inputs or outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    pub name: String,
    pub element: ElementType,
    /// The length of each axis; `None` where any length will do.
    pub shape: Vec<Option<usize>>,
}

/// A tensor that owns its bytes. It has no serde form on purpose: the bytes travel raw, behind a header of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    element: ElementType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A tensor in somebody else's buffer. Unlike [`Tensor`] it is not checked yet; [`crate::Model::run`] does.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pub element: ElementType,
    /// The length of each axis; none for a single number.
    pub shape: &'a [usize],
    /// Little-endian, rows first.
    pub bytes: &'a [u8],
}

impl Tensor {
    /// A tensor of these bytes, if there are as many as the shape needs.
    pub fn new(element: ElementType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Tensor, TensorError> {
        TensorView { element, shape: &shape, bytes: &bytes }.check()?;
        Ok(Tensor { element, shape, bytes })
    }

    pub(crate) fn zeros(element: ElementType, shape: Vec<usize>) -> Result<Tensor, TensorError> {
        let bytes = vec![0; bytes_needed(element, &shape)?];
        Ok(Tensor { element, shape, bytes })
    }

    pub fn element(&self) -> ElementType {
        self.element
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Type, shape and bytes, for whoever sends them on without a copy.
    pub fn into_parts(self) -> (ElementType, Vec<usize>, Vec<u8>) {
        (self.element, self.shape, self.bytes)
    }

    pub fn view(&self) -> TensorView<'_> {
        TensorView { element: self.element, shape: &self.shape, bytes: &self.bytes }
    }
}

impl TensorView<'_> {
    /// Whether there are as many bytes as the shape needs, and each is one its type allows.
    pub fn check(&self) -> Result<(), TensorError> {
        let needed = bytes_needed(self.element, self.shape)?;
        if self.bytes.len() != needed {
            let (element, shape) = (self.element, self.shape.to_vec());
            return Err(TensorError::Length { element, shape, expected: needed, got: self.bytes.len() });
        }
        // A truth value of 2 is undefined behaviour in the runtimes, which see these bytes as `bool`.
        if self.element == ElementType::Bool && self.bytes.iter().any(|&byte| byte > 1) {
            return Err(TensorError::NotATruthValue);
        }
        Ok(())
    }
}

/// Bytes that a tensor of this shape takes, up to [`TENSOR_BYTES_MAX`].
pub(crate) fn bytes_needed(element: ElementType, shape: &[usize]) -> Result<usize, TensorError> {
    shape
        .iter()
        .try_fold(element.bytes(), |bytes, &axis| bytes.checked_mul(axis))
        .filter(|&bytes| bytes <= TENSOR_BYTES_MAX)
        .ok_or_else(|| TensorError::TooLarge { element, shape: shape.to_vec() })
}

impl TensorSpec {
    /// The shape, if no axis is left open.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().copied().collect()
    }

    /// Whether this input takes that tensor.
    pub(crate) fn check(&self, got: &TensorView<'_>) -> Result<(), RunError> {
        let fits = |(expected, got): (&Option<usize>, &usize)| expected.is_none_or(|expected| expected == *got);
        let same_rank = self.shape.len() == got.shape.len();
        if got.element != self.element || !same_rank || !self.shape.iter().zip(got.shape).all(fits) {
            let (element, shape) = (got.element, got.shape.to_vec());
            return Err(RunError::WrongTensor { expected: self.clone(), element, shape });
        }
        Ok(got.check()?)
    }
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {} [", self.name, self.element)?;
        for (index, axis) in self.shape.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match axis {
                Some(length) => write!(f, "{comma}{length}")?,
                None => write!(f, "{comma}any")?,
            }
        }
        f.write_str("]")
    }
}
