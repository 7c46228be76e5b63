//! Puts the ends of a stream's tasks back in the order of their sequence numbers.

use alloc::collections::{BTreeMap, VecDeque};

use crate::dispatch::ended::Ended;
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
    Unordered {
        /// What came and was not given out yet.
        ends: VecDeque<T>,
        /// What came so far.
        ended: Ended,
    },
}

impl<T> Reorder<T> {
    /// In order, beginning with `first`.
    pub fn ordered(first: Sequence) -> Self {
        Self::Ordered { next: first, early: BTreeMap::new() }
    }

    /// As they come; all before `first` came elsewhere.
    pub fn unordered(first: Sequence) -> Self {
        Self::Unordered { ends: VecDeque::new(), ended: Ended::before(first) }
    }

    /// Takes an end in.
    pub fn insert(&mut self, sequence: Sequence, end: T) {
        match self {
            Self::Ordered { early, .. } => {
                early.insert(sequence, end);
            }
            Self::Unordered { ends, ended } => {
                ended.insert(sequence);
                ends.push_back(end);
            }
        }
    }

    /// The next end whose turn has come.
    pub fn take_next(&mut self) -> Option<T> {
        match self {
            Self::Ordered { next, early } => {
                let end = early.remove(next)?;
                // No stream is so long; but a client may begin it near the end.
                next.0 = next.0.saturating_add(1);
                Some(end)
            }
            Self::Unordered { ends, .. } => ends.pop_front(),
        }
    }

    /// Whether an end with this number was taken in or given out already.
    pub fn is_past(&self, sequence: Sequence) -> bool {
        match self {
            Self::Ordered { next, early } => sequence < *next || early.contains_key(&sequence),
            Self::Unordered { ended, .. } => ended.contains(sequence),
        }
    }

    /// Whether others may be waiting for this one.
    pub fn is_turn_of(&self, sequence: Sequence) -> bool {
        matches!(self, Self::Ordered { next, .. } if *next == sequence)
    }

    /// How many ends wait for their turn.
    pub fn held(&self) -> usize {
        match self {
            Self::Ordered { early, .. } => early.len(),
            Self::Unordered { ends, .. } => ends.len(),
        }
    }
}
