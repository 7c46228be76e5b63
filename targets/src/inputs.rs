//! From what a model's file says of its inputs to what tasks bring for them.

use std::path::Path;

use crate::error::LoadError;
use crate::tensor::{ElementType, TensorSpec, bytes_needed};

/// Why a model's inputs cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A task cannot bring one of them.
    Unsuitable(String),
    /// The manifest says otherwise.
    Contradiction(String),
    /// The manifest names a picture, and these are not one.
    Count(Vec<String>),
}

impl Fault {
    pub(crate) fn of(self, path: &Path) -> LoadError {
        let file = path.to_owned();
        match self {
            Fault::Unsuitable(reason) => LoadError::Unsuitable { file, reason },
            Fault::Contradiction(reason) => LoadError::Contradiction { file, reason },
            Fault::Count(inputs) => LoadError::Inputs { file, inputs },
        }
    }
}

/// Fixes lengths that the file leaves open: to those of the manifest's picture, or to a batch of one. Any other axis stays open.
/// Whether any was open and is fixed now.
pub(crate) fn fix(inputs: &mut [TensorSpec], picture: Option<[usize; 4]>) -> Result<bool, Fault> {
    let open =
        |inputs: &[TensorSpec]| inputs.iter().flat_map(|input| &input.shape).filter(|axis| axis.is_none()).count();
    let open_before = open(inputs);
    match (picture, &mut *inputs) {
        (Some(picture), [input]) => take_picture(input, picture)?,
        (Some(_), _) => return Err(Fault::Count(inputs.iter().map(|input| input.name.clone()).collect())),
        (None, inputs) => {
            for batch in inputs.iter_mut().filter_map(|input| input.shape.first_mut()) {
                batch.get_or_insert(1);
            }
        }
    }
    for input in inputs.iter() {
        let fixed: Vec<usize> = input.shape.iter().flatten().copied().collect();
        let fits = bytes_needed(input.element, &fixed);
        fits.map_err(|why| Fault::Unsuitable(format!("its input `{}`: {why}", input.name)))?;
    }
    Ok(open(inputs) < open_before)
}

fn take_picture(input: &mut TensorSpec, picture: [usize; 4]) -> Result<(), Fault> {
    let fits = |(axis, length): (&Option<usize>, usize)| axis.is_none_or(|axis| axis == length);
    let same_rank = input.shape.len() == picture.len();
    if input.element != ElementType::F32 || !same_rank || !input.shape.iter().zip(picture).all(fits) {
        let reason = format!("its picture becomes f32 {picture:?}, but the model takes {input}");
        return Err(Fault::Contradiction(reason));
    }
    input.shape = picture.map(Some).to_vec();
    Ok(())
}
