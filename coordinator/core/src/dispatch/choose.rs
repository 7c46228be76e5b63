//! Which worker gets the next task.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::dispatch::TaskId;
use crate::ids::WorkerId;
use crate::time::Millis;

/// One part in so many of the mean service time comes from the newest task: a slowing device is noticed within about
/// ten tasks, one slow task hardly moves it.
const MEAN_WEIGHT: u64 = 8;
/// One part in so many of the mean is forgotten with each task that goes elsewhere while the worker is idle: one that was
/// slow once, as with its first task, is tried again within some hundred tasks.
const FORGET_WEIGHT: u64 = 256;
/// Service times are kept in 1/1024 ms, so that the mean of short ones does not round to nothing.
const FRACTIONS: u64 = 1024;

/// What a worker has to do and how quickly it does it.
#[derive(Debug)]
pub struct WorkerLoad {
    credits: u32,
    /// Attempts sent and not answered, at most as many as there were credits: a few.
    outstanding: Vec<Attempt>,
    /// Mean time from sending to answer, in 1/1024 ms; none before the first answer.
    mean: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Attempt {
    task: TaskId,
    /// An answer of an earlier one, from before the worker was lost and found again, must not free the place of this one.
    number: u32,
    /// Its place in the worker's queue when it was sent: 1 where it was alone.
    place: u64,
}

impl WorkerLoad {
    pub(crate) fn new(credits: u32) -> Self {
        Self { credits, outstanding: Vec::with_capacity(credits.min(64) as usize), mean: None }
    }

    pub(crate) fn outstanding(self) -> impl DoubleEndedIterator<Item = (TaskId, u32)> {
        self.outstanding.into_iter().map(|attempt| (attempt.task, attempt.number))
    }

    pub(crate) fn begin(&mut self, task: TaskId, number: u32) {
        let place = self.outstanding.len() as u64 + 1;
        self.outstanding.push(Attempt { task, number, place });
    }

    pub(crate) fn finish(&mut self, task: TaskId, number: u32, took: Millis) {
        let Some(attempt) = self.forget(task, number) else { return };
        // What an answer took, counts the tasks that were before it in the worker's queue: divide by them.
        let sample = took.0.saturating_mul(FRACTIONS) / attempt.place;
        self.mean = Some(self.mean.map_or(sample, |mean| mean - mean / MEAN_WEIGHT + sample / MEAN_WEIGHT));
    }

    /// An attempt is over; its credit is free.
    pub(crate) fn forget(&mut self, task: TaskId, number: u32) -> Option<Attempt> {
        let at = self.outstanding.iter().position(|attempt| attempt.task == task && attempt.number == number)?;
        Some(self.outstanding.remove(at))
    }

    /// A task went elsewhere.
    pub(crate) fn pass_over(&mut self) {
        if self.outstanding.is_empty() {
            self.mean = self.mean.map(|mean| mean - mean / FORGET_WEIGHT);
        }
    }

    /// The expected time until one more task would be answered; smaller is better. A worker not yet measured counts as
    /// quick, so that it is tried.
    fn cost(&self) -> u64 {
        (self.outstanding.len() as u64 + 1).saturating_mul(self.mean.unwrap_or(1).max(1))
    }

    pub(crate) fn holds(&self, task: TaskId, number: u32) -> bool {
        self.outstanding.iter().any(|attempt| attempt.task == task && attempt.number == number)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.outstanding.len() as u64 > u64::from(self.credits)
    }

    fn has_credit(&self) -> bool {
        (self.outstanding.len() as u64) < u64::from(self.credits)
    }
}

/// The worker with a credit that should answer first; the lowest id among equals.
pub(crate) fn best(workers: &BTreeMap<WorkerId, WorkerLoad>) -> Option<WorkerId> {
    let free = workers.iter().filter(|(_, load)| load.has_credit());
    free.min_by_key(|(id, load)| (load.cost(), **id)).map(|(id, _)| *id)
}
