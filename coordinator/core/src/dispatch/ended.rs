//! Which tasks of an unordered stream have ended.

use alloc::collections::BTreeMap;

use crate::ids::Sequence;

/// The most gaps kept between tasks that ended. A client leaves one for each task that others overtook, so a few hundred
/// at most; one that leaves more finds the oldest closed: a task in it counts as ended.
const GAPS_MAX: usize = 1024;

/// Sequence numbers as ranges, so that a stream without gaps takes one entry however long it is.
#[derive(Debug)]
pub struct Ended {
    /// From the first number of each range to its last, neither touching nor overlapping.
    ranges: BTreeMap<u64, u64>,
}

impl Ended {
    /// Everything before `first` has ended.
    pub fn before(first: Sequence) -> Self {
        Self { ranges: first.0.checked_sub(1).map(|last| (0, last)).into_iter().collect() }
    }

    /// Whether the task has ended.
    pub fn contains(&self, sequence: Sequence) -> bool {
        self.ranges.range(..=sequence.0).next_back().is_some_and(|(_, last)| sequence.0 <= *last)
    }

    /// A task ends.
    pub fn insert(&mut self, sequence: Sequence) {
        if self.contains(sequence) {
            return;
        }
        let number = sequence.0;
        // The range after it, where they touch, becomes its own.
        let last = number.checked_add(1).and_then(|after| self.ranges.remove(&after)).unwrap_or(number);
        match self.ranges.range_mut(..number).next_back() {
            Some((_, end)) if *end + 1 == number => *end = last,
            _ => {
                self.ranges.insert(number, last);
            }
        }
        if self.ranges.len() > GAPS_MAX {
            self.close_oldest_gap();
        }
    }

    fn close_oldest_gap(&mut self) {
        let (Some((first, _)), Some((_, last))) = (self.ranges.pop_first(), self.ranges.pop_first()) else {
            return;
        };
        self.ranges.insert(first, last);
    }
}
