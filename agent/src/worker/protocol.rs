//! What an agent and a worker process say to each other, over the worker's standard input and output.
//!
//! The agent speaks first, with [`ToWorker::Share`] where it can share memory, and [`ToWorker::Load`]; the worker answers [`FromWorker::Ready`] or
//! [`FromWorker::Unusable`]; then each [`ToWorker::Task`] gets one [`FromWorker::Result`], in order, and before it as many
//! [`FromWorker::Checkpoint`]s as the worker likes. The worker ends when its input ends. Messages stand in the envelope of [`crate::frame`].

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skein_core::dispatch::history::Fault;
use skein_targets::{Answer, Class, ElementType, Place, Tensor, TensorError, TensorSpec, TensorView};

use crate::worker::shared::Span;

/// From the agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// Inputs may lie in these files, which can be mapped to be read.
    Share(Vec<PathBuf>),
    /// Load this.
    Load(Load),
    /// Work on the payload.
    Task {
        /// Comes back with the result.
        ticket: u64,
        /// What the payload is.
        input: InputKind,
        /// The payload begins with so many bytes of a checkpoint, from which the task is to go on; the input follows.
        #[serde(default, skip_serializing_if = "is_zero")]
        checkpoint_bytes: usize,
        /// The payload is empty, and what it would be lies here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
    },
}

/// Most tasks begin anew: what is nothing is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
pub(crate) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A model to load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// The way to run it, by name.
    pub target: String,
    /// The graph.
    pub file: PathBuf,
    /// What it is called in messages.
    pub name: String,
    /// Its manifest, in TOML.
    pub manifest: String,
    /// Its labels, a line each.
    pub labels: Option<PathBuf>,
    /// What to run it with.
    #[serde(default, skip_serializing_if = "Place::is_usual")]
    pub place: Place,
}

/// From the worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The model is loaded and a warm-up run passed.
    Ready {
        /// What it takes.
        inputs: Vec<TensorSpec>,
        /// What it gives.
        outputs: Vec<TensorSpec>,
        /// Whether it has mapped the files of [`ToWorker::Share`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shares: bool,
        /// How long one run on zeros took, in microseconds; none where none was made, or a device only pretends to compute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_micros: Option<u64>,
    },
    /// The model cannot be run here.
    Unusable {
        /// Why, for people.
        reason: String,
    },
    /// How far the task under way is: the payload is all that another worker needs to go on from there.
    Checkpoint {
        /// Whose.
        ticket: u64,
    },
    /// The end of one task.
    Result {
        /// Whose.
        ticket: u64,
        /// How long the model and what is around it ran, in microseconds.
        run_micros: u64,
        /// How it ended, and who is to blame where it failed; tensors lie in the payload, one after the other.
        result: Result<AnswerKind, Fault>,
    },
}

/// What a task's payload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputKind {
    /// An encoded picture, PNG or JPEG.
    Picture,
    /// A tensor's bytes, little-endian, rows first.
    Tensor {
        /// Type of its numbers.
        element: ElementType,
        /// Length of each axis.
        shape: Vec<usize>,
    },
    /// Tensors, one for each input of the model in its order, one after the other: type and shape of each.
    Tensors(Vec<(ElementType, Vec<usize>)>),
}

/// The tensors of a payload that holds one after the other.
pub fn views<'a>(
    kinds: &'a [(ElementType, Vec<usize>)],
    payload: &'a [u8],
) -> Result<Vec<TensorView<'a>>, TensorError> {
    let mut rest = payload;
    let view = |(element, shape): &'a (ElementType, Vec<usize>)| {
        let length = element.bytes_of(shape)?;
        // What is missing at the end is missed by the check of the tensor that lacks it.
        let (bytes, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        Ok(TensorView { element: *element, shape, bytes })
    };
    let mut views = kinds.iter().map(view).collect::<Result<Vec<_>, TensorError>>()?;
    // So is what is too much, by the last.
    if let Some(last) = views.last_mut().filter(|_| !rest.is_empty()) {
        last.bytes = &payload[payload.len() - last.bytes.len() - rest.len()..];
    }
    Ok(views)
}

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnswerKind {
    /// The best classes, best first.
    Classes(Vec<Class>),
    /// Type and shape of each tensor in the payload.
    Tensors(Vec<(ElementType, Vec<usize>)>),
}

impl AnswerKind {
    /// Header and payload of an answer.
    pub fn split(answer: Answer) -> (Self, Bytes) {
        match answer {
            Answer::Classes(classes) => (Self::Classes(classes), Bytes::new()),
            Answer::Tensors(tensors) => {
                let mut kinds = Vec::with_capacity(tensors.len());
                let mut payload = Vec::new();
                for (element, shape, bytes) in tensors.into_iter().map(Tensor::into_parts) {
                    kinds.push((element, shape));
                    // One output, the usual case, is handed on without a copy.
                    if payload.is_empty() {
                        payload = bytes;
                    } else {
                        payload.extend_from_slice(&bytes);
                    }
                }
                (Self::Tensors(kinds), payload.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_cut_into_the_tensors_that_it_says() {
        let kinds = [(ElementType::U8, vec![2]), (ElementType::F32, vec![1]), (ElementType::U8, vec![0])];
        let cut = |payload: &[u8]| {
            let views = views(&kinds, payload).unwrap();
            views.iter().map(|view| (view.bytes.to_vec(), view.check().is_ok())).collect::<Vec<_>>()
        };
        let right = vec![(vec![1, 2], true), (vec![3, 4, 5, 6], true), (vec![], true)];
        assert_eq!(cut(&[1, 2, 3, 4, 5, 6]), right);
        // What is missing or too much is found by the check that follows.
        assert_eq!(cut(&[1, 2, 3]).iter().map(|(_, fits)| *fits).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(cut(&[]).iter().map(|(_, fits)| *fits).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(cut(&[0; 9]).iter().map(|(_, fits)| *fits).collect::<Vec<_>>(), [true, true, false]);
        assert!(views(&[(ElementType::F64, vec![usize::MAX, 2])], &[]).is_err(), "an absurd size");
        assert!(views(&[], &[1]).unwrap().is_empty());
    }
}
