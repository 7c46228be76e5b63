//! The one source of chance of a run, and the account of what it led to.

use std::collections::BTreeMap;
use std::ops::Range;

/// A world stops at so many: the first say enough.
const VIOLATIONS_MAX: usize = 10;

#[derive(Debug)]
pub(crate) struct Chance {
    random: fastrand::Rng,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<String>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), counts: BTreeMap::new(), violations: Vec::new() }
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.random.u64(0..100) < percent
    }

    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        self.random.u64(range)
    }

    pub(crate) fn small(&mut self, range: Range<u32>) -> u32 {
        self.random.u32(range)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.random.usize(0..length)
    }

    pub(crate) fn pick<T>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        self.random.choice(from.into_iter().collect::<Vec<_>>())
    }

    /// Something happened.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Something must hold.
    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what());
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.violations.len() >= VIOLATIONS_MAX
    }
}
