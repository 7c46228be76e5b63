//! How long the disk takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The flushes of one store.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Flushes>);

#[derive(Debug, Default)]
struct Flushes {
    running: BTreeMap<u64, Instant>,
    count: u64,
    last: Duration,
}

impl Pace {
    pub(super) fn begin(&self) -> u64 {
        let mut flushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.count += 1;
        let number = flushes.count;
        flushes.running.insert(number, Instant::now());
        number
    }

    pub(super) fn end(&self, number: u64) {
        let mut flushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = flushes.running.remove(&number) {
            flushes.last = begun.elapsed();
        }
    }

    /// How long the last flush took, or the one that runs has taken so far.
    pub(crate) fn flush(&self) -> Duration {
        let flushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = flushes.running.values().next().map(Instant::elapsed).unwrap_or_default();
        flushes.last.max(running)
    }

    /// How long the oldest flush that runs has taken so far.
    pub(crate) fn running(&self) -> Duration {
        let flushes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.running.values().next().map(Instant::elapsed).unwrap_or_default()
    }
}
