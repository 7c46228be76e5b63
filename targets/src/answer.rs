//! What a run gives back, and the way from scores to classes.

use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::tensor::Tensor;

/// What a run gives back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The best classes, best first.
    Classes(Vec<Class>),
    /// Every output of the model, in its order.
    Tensors(Vec<Tensor>),
}

/// One class that a model saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Counted from zero, as the model counts.
    pub index: u32,
    pub label: String,
    /// As the model gives it; most give 0 to 1.
    pub score: f32,
}

/// The best `top` classes of a tensor of f32 scores, best first, the lower index first among equals.
pub(crate) fn best_classes(scores: &Tensor, labels: &[String], top: usize) -> Result<Vec<Class>, RunError> {
    let (numbers, _) = scores.bytes().as_chunks::<4>();
    let mut ranked: Vec<(usize, f32)> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).enumerate().collect();
    if let Some(&(class, _)) = ranked.iter().find(|(_, score)| score.is_nan()) {
        return Err(RunError::NotANumber { class });
    }
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let named = ranked.into_iter().zip(0..top).map(|((index, score), _)| Class {
        index: u32::try_from(index).expect("a tensor of at most 1 GiB has fewer than 2^32 scores"),
        label: labels.get(index).expect("labels and scores were counted at load").clone(),
        score,
    });
    Ok(named.collect())
}
