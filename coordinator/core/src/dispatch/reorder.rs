//! Puts the ends of a stream's tasks back in the order of their sequence numbers.

use alloc::collections::{BTreeMap, VecDeque};

use crate::ids::Sequence;

/// Holds ends until their turn comes. How many it can hold is bounded by the dispatcher, which counts them as in house.
#[derive(Debug)]
pub enum Reorder<T> {
    /// In the order of sequence numbers.
    Ordered {
        /// Whose turn it is.
        next: Sequence,
        /// What came too early.
        early: BTreeMap<Sequence, T>,
    },
    /// In the order they came.
    Unordered(VecDeque<T>),
}

impl<T> Reorder<T> {
    /// In order, beginning with `first`.
    pub fn ordered(first: Sequence) -> Self {
        Self::Ordered { next: first, early: BTreeMap::new() }
    }

    /// As they come.
    pub fn unordered() -> Self {
        Self::Unordered(VecDeque::new())
    }

    /// Takes an end in.
    pub fn insert(&mut self, sequence: Sequence, end: T) {
        match self {
            Self::Ordered { early, .. } => {
                early.insert(sequence, end);
            }
            Self::Unordered(ends) => ends.push_back(end),
        }
    }

    /// The next end whose turn has come.
    pub fn next(&mut self) -> Option<T> {
        match self {
            Self::Ordered { next, early } => {
                let end = early.remove(next)?;
                next.0 += 1;
                Some(end)
            }
            Self::Unordered(ends) => ends.pop_front(),
        }
    }

    /// Whether an end with this number was taken in or given out already, as far as an order is kept.
    pub fn is_past(&self, sequence: Sequence) -> bool {
        match self {
            Self::Ordered { next, early } => sequence < *next || early.contains_key(&sequence),
            Self::Unordered(_) => false,
        }
    }

    /// How many ends wait for their turn.
    pub fn held(&self) -> usize {
        match self {
            Self::Ordered { early, .. } => early.len(),
            Self::Unordered(ends) => ends.len(),
        }
    }
}
