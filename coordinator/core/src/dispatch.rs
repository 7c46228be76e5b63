//! What a gateway does with each task: the hot path, on which no coordinator stands.
//!
//! A [`Dispatcher`] serves one session at one gateway. It says which task goes to which worker ([`choose`]), takes results
//! in, runs lost attempts again, puts results back in order ([`reorder`]), and keeps the account of every stream
//! ([`ledger`]). Payloads and results pass through it as whatever the caller makes them, untouched.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::{Sequence, StreamId, WorkerId};
use crate::time::Millis;
use choose::WorkerLoad;
use ledger::Ledger;
use reorder::Reorder;

pub mod choose;
pub mod ended;
mod invariants;
pub mod ledger;
pub mod reorder;

/// A task within a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// Whose.
    pub stream: StreamId,
    /// Which.
    pub sequence: Sequence,
}

/// Bounds of one dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most tasks in house at once: waiting, running, or done and not yet delivered. Beyond it, each ordered stream may
    /// still submit the one task whose turn it is: all others may be waiting for it, and would wait for ever.
    pub tasks_max: usize,
    /// The most streams at once.
    pub streams_max: usize,
    /// How often a task is tried before it is reported as failed: one that kills its workers must not kill them all.
    pub attempts_max: u32,
}

/// Why a task or a stream was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many tasks or streams are in house as may be; come again when something was delivered.
    Full,
    /// The stream is not open here.
    NoStream,
    /// The task is in house or was delivered already, or a stream of this id is open.
    Duplicate,
}

/// One attempt to be sent to a worker.
#[derive(Debug, PartialEq, Eq)]
pub struct Send<P> {
    /// To whom.
    pub worker: WorkerId,
    /// Which task.
    pub task: TaskId,
    /// Which try; a larger number fences off every smaller one.
    pub attempt: u32,
    /// What to work on.
    pub payload: P,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// A worker answered.
    Done(R),
    /// It ended without an answer, for this reason.
    Failed(String),
}

/// A task's end, in the order its stream asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<R> {
    /// Which task.
    pub task: TaskId,
    /// The attempt that ended it.
    pub attempt: u32,
    /// The worker that ended it, where one did.
    pub worker: Option<WorkerId>,
    /// How.
    pub outcome: Outcome<R>,
}

#[derive(Debug)]
struct Task<P> {
    payload: P,
    /// The first attempt's number: a client that came from a lost gateway begins above what that one may have used.
    attempt_first: u32,
    attempt: u32,
    running_on: Option<(WorkerId, Millis)>,
}

impl<P> Task<P> {
    /// Whether this attempt is the newest, and this worker has it.
    fn runs(&self, worker: WorkerId, attempt: u32) -> bool {
        self.attempt == attempt && self.running_on.is_some_and(|(on, _)| on == worker)
    }
}

#[derive(Debug)]
struct Stream<R> {
    reorder: Reorder<Delivery<R>>,
    ledger: Ledger,
}

/// The tasks of one session at one gateway. `P` is a payload that is cheap to clone, `R` a result.
#[derive(Debug)]
pub struct Dispatcher<P, R> {
    limits: Limits,
    tasks: BTreeMap<TaskId, Task<P>>,
    /// Tasks that wait for a worker, each once.
    waiting: VecDeque<TaskId>,
    workers: BTreeMap<WorkerId, WorkerLoad>,
    streams: BTreeMap<StreamId, Stream<R>>,
    deliveries: VecDeque<Delivery<R>>,
    /// Tasks ended and not yet taken out by [`Self::next_delivery`], whether in order already or not.
    undelivered: usize,
}

impl<P: Clone, R> Dispatcher<P, R> {
    /// A dispatcher with no workers and no streams.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tasks: BTreeMap::new(),
            waiting: VecDeque::new(),
            workers: BTreeMap::new(),
            streams: BTreeMap::new(),
            deliveries: VecDeque::new(),
            undelivered: 0,
        }
    }

    /// A source of tasks begins at `first`; `ordered` asks for results in the order of sequence numbers.
    pub fn open_stream(&mut self, id: StreamId, ordered: bool, first: Sequence) -> Result<(), Refused> {
        if self.streams.contains_key(&id) {
            return Err(Refused::Duplicate);
        }
        if self.streams.len() >= self.limits.streams_max {
            return Err(Refused::Full);
        }
        let reorder = if ordered { Reorder::ordered(first) } else { Reorder::unordered(first) };
        self.streams.insert(id, Stream { reorder, ledger: Ledger::default() });
        Ok(())
    }

    /// A source is gone: its unfinished tasks are dropped. Its final account, in which nothing is pending.
    pub fn close_stream(&mut self, id: StreamId) -> Option<Ledger> {
        let mut stream = self.streams.remove(&id)?;
        // Attempts that still run keep their worker's credit until their answer comes.
        stream.ledger.dropped += self.tasks.extract_if(of_stream(id), |_, _| true).count() as u64;
        self.waiting.retain(|task| task.stream != id);
        let before = self.deliveries.len();
        self.deliveries.retain(|delivery| delivery.task.stream != id);
        self.undelivered -= before - self.deliveries.len() + stream.reorder.held();
        Some(stream.ledger)
    }

    /// A task comes in. Its attempts are counted from `attempt_first`.
    pub fn submit(&mut self, id: TaskId, attempt_first: u32, payload: P) -> Result<(), Refused> {
        let stream = self.streams.get_mut(&id.stream).ok_or(Refused::NoStream)?;
        if self.tasks.contains_key(&id) || stream.reorder.is_past(id.sequence) {
            return Err(Refused::Duplicate);
        }
        let is_full = self.tasks.len() + self.undelivered >= self.limits.tasks_max;
        let is_waited_for = stream.reorder.is_turn_of(id.sequence) && self.deliveries.is_empty();
        if is_full && !is_waited_for {
            return Err(Refused::Full);
        }
        // The number comes from a client: whatever it is, there must be room above it.
        let attempt_first = attempt_first.min(u32::MAX - self.limits.attempts_max);
        stream.ledger.submitted += 1;
        self.tasks.insert(id, Task { payload, attempt_first, attempt: attempt_first, running_on: None });
        self.waiting.push_back(id);
        Ok(())
    }

    /// A worker takes up to `credits` tasks of this gateway at once.
    pub fn on_worker(&mut self, worker: WorkerId, credits: u32) {
        self.workers.entry(worker).or_insert_with(|| WorkerLoad::new(credits));
    }

    /// A worker is gone, or out of reach: its attempts run again elsewhere, before anything that never ran.
    pub fn on_lost(&mut self, worker: WorkerId) {
        let Some(load) = self.workers.remove(&worker) else {
            return;
        };
        for (id, attempt) in load.outstanding().rev() {
            let Some(task) = self.tasks.get_mut(&id).filter(|task| task.runs(worker, attempt)) else {
                continue;
            };
            task.running_on = None;
            task.attempt += 1;
            if let Some(stream) = self.streams.get_mut(&id.stream) {
                stream.ledger.lost_attempts += 1;
            }
            if task.attempt - task.attempt_first < self.limits.attempts_max {
                self.waiting.push_front(id);
            } else {
                let reason = alloc::format!(
                    "tried {} times, and each time the worker was lost; the last was worker {worker}",
                    self.limits.attempts_max
                );
                self.end(id, Some(worker), Outcome::Failed(reason));
            }
        }
    }

    /// A worker answers. An answer that is not from the newest attempt is fenced off: it is counted, and `false`.
    pub fn on_result(&mut self, now: Millis, worker: WorkerId, id: TaskId, attempt: u32, outcome: Outcome<R>) -> bool {
        let current = self.tasks.get(&id).filter(|task| task.runs(worker, attempt));
        let Some((_, sent)) = current.and_then(|task| task.running_on) else {
            if let Some(load) = self.workers.get_mut(&worker) {
                load.forget(id, attempt);
            }
            if let Some(stream) = self.streams.get_mut(&id.stream) {
                stream.ledger.fenced += 1;
            }
            return false;
        };
        if let Some(load) = self.workers.get_mut(&worker) {
            load.finish(id, attempt, now.since(sent));
        }
        self.end(id, Some(worker), outcome);
        true
    }

    /// The session is over: everything that waits or runs ends with this reason.
    pub fn fail_all(&mut self, reason: &str) {
        while let Some(id) = self.tasks.keys().next().copied() {
            self.end(id, None, Outcome::Failed(reason.into()));
        }
        self.waiting.clear();
        self.workers.clear();
    }

    /// The next attempt to send; none until a credit or a task comes in.
    pub fn next_send(&mut self, now: Millis) -> Option<Send<P>> {
        loop {
            let worker = choose::best(&self.workers)?;
            let id = self.waiting.pop_front()?;
            let Some(task) = self.tasks.get_mut(&id).filter(|task| task.running_on.is_none()) else {
                continue;
            };
            task.running_on = Some((worker, now));
            for (other, load) in &mut self.workers {
                if *other == worker {
                    load.begin(id, task.attempt);
                } else {
                    load.pass_over();
                }
            }
            return Some(Send { worker, task: id, attempt: task.attempt, payload: task.payload.clone() });
        }
    }

    /// The next end to hand to its stream.
    pub fn next_delivery(&mut self) -> Option<Delivery<R>> {
        let delivery = self.deliveries.pop_front()?;
        self.undelivered -= 1;
        Some(delivery)
    }

    /// The account of an open stream.
    pub fn ledger(&self, stream: StreamId) -> Option<&Ledger> {
        self.streams.get(&stream).map(|stream| &stream.ledger)
    }

    /// Tasks of a stream that have not ended.
    pub fn pending(&self, stream: StreamId) -> u64 {
        self.tasks.range(of_stream(stream)).count() as u64
    }

    /// Workers that take tasks.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    fn end(&mut self, id: TaskId, worker: Option<WorkerId>, outcome: Outcome<R>) {
        let Some(task) = self.tasks.remove(&id) else { return };
        let Some(stream) = self.streams.get_mut(&id.stream) else {
            return;
        };
        match outcome {
            Outcome::Done(_) => stream.ledger.done += 1,
            Outcome::Failed(_) => stream.ledger.failed += 1,
        }
        self.undelivered += 1;
        let delivery = Delivery { task: id, attempt: task.attempt, worker, outcome };
        stream.reorder.insert(id.sequence, delivery);
        while let Some(next) = stream.reorder.take_next() {
            self.deliveries.push_back(next);
        }
    }
}

fn of_stream(stream: StreamId) -> core::ops::RangeInclusive<TaskId> {
    TaskId { stream, sequence: Sequence(0) }..=TaskId { stream, sequence: Sequence(u64::MAX) }
}
