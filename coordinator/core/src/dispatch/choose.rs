//! Which worker gets the next task.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::dispatch::TaskId;
use crate::dispatch::history::History;
use crate::ids::{NodeId, WorkerId};
use crate::time::Millis;

/// One part in so many of the mean service time comes from the newest task: a slowing device is noticed within about
/// ten tasks, one slow task hardly moves it.
const MEAN_WEIGHT: u64 = 8;
/// One part in so many of the mean is forgotten with each task that goes elsewhere while the worker is idle: one that was
/// slow once, as with its first task, is tried again within some hundred tasks.
const FORGET_WEIGHT: u64 = 256;
/// Service times are kept in 1/1024 ms, so that the mean of short ones does not round to nothing.
const FRACTIONS: u64 = 1024;
/// A fault counts as an answer that took so long at least: a device that fails at once must not look like the quickest, and
/// draw every task to it.
const FAULT_MIN: Millis = Millis(1_000);
/// Each further fault counts double, up to this: a worker that recovers is found again within some thousand tasks.
const FAULT_MAX: Millis = Millis(60_000);

/// What a worker has to do and how quickly it does it.
#[derive(Debug)]
pub struct WorkerLoad {
    node: NodeId,
    credits: u32,
    /// It gets nothing new; what it has may end.
    is_leaving: bool,
    /// The way to it was found closed: nothing can be handed to it.
    is_closed: bool,
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
    pub(crate) fn new(node: NodeId, credits: u32) -> Self {
        let outstanding = Vec::with_capacity(credits.min(64) as usize);
        Self { node, credits, is_leaving: false, is_closed: false, outstanding, mean: None }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn set_leaving(&mut self, is_leaving: bool) {
        self.is_leaving = is_leaving;
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn reopen(&mut self) {
        self.is_closed = false;
    }

    /// Whether it will take a task again, if not at once.
    pub(crate) fn serves(&self) -> bool {
        !self.is_leaving && !self.is_closed && self.credits > 0
    }

    pub(crate) fn outstanding(self) -> impl Iterator<Item = (TaskId, u32)> {
        self.outstanding.into_iter().map(|attempt| (attempt.task, attempt.number))
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = (TaskId, u32)> {
        self.outstanding.iter().map(|attempt| (attempt.task, attempt.number))
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

    /// An attempt failed, for which the worker is to blame.
    pub(crate) fn fail(&mut self, task: TaskId, number: u32) {
        self.forget(task, number);
        let (least, most) = (FAULT_MIN.0 * FRACTIONS, FAULT_MAX.0 * FRACTIONS);
        self.mean = Some(self.mean.map_or(least, |mean| mean.saturating_mul(2).clamp(least, most)));
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
        self.serves() && (self.outstanding.len() as u64) < u64::from(self.credits)
    }
}

/// The worker with a credit that should answer first, among those of one node where it must be there; the lowest id among
/// equals.
pub(crate) fn best(workers: &BTreeMap<WorkerId, WorkerLoad>, only_on: Option<NodeId>) -> Option<WorkerId> {
    let free = workers.iter().filter(|(_, load)| load.has_credit() && only_on.is_none_or(|node| load.node == node));
    free.min_by_key(|(id, load)| (load.cost(), **id)).map(|(id, _)| *id)
}

/// The node on which a task that failed is tried next: where it failed last if it may stay and that node still serves. Else
/// one where it did not fail yet, the one that should answer first; where there is none, the one where its failure is
/// longest ago.
pub(crate) fn node_for(history: &History, may_stay: bool, workers: &BTreeMap<WorkerId, WorkerLoad>) -> Option<NodeId> {
    let serving = || workers.iter().filter(|(_, load)| load.serves());
    let last = history.failed_on().next().filter(|_| may_stay);
    let stay = last.filter(|last| serving().any(|(_, load)| load.node == *last));
    let elsewhere = serving().min_by_key(|(id, load)| {
        let failures_since = history.failed_on().position(|node| node == load.node).unwrap_or(usize::MAX);
        (Reverse(failures_since), !load.has_credit(), load.cost(), **id)
    });
    stay.or_else(|| elsewhere.map(|(_, load)| load.node))
}
