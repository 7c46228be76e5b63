//! What a gateway does with each task: the hot path, on which no coordinator stands.
//!
//! A [`Dispatcher`] serves one session at one gateway. It says which task goes to which worker ([`choose`]) and when
//! ([`waiting`]), takes results in, runs lost and failed attempts again ([`again`], by the rule in [`retry`]), puts results
//! back in order ([`reorder`]), and keeps the account of every stream ([`ledger`]) and the news of every task ([`events`]).
//! Payloads, checkpoints and results pass through it as whatever the caller makes them, untouched.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Sequence, StreamId, WorkerId};
use crate::session::PRIORITY_MAX;
use crate::time::Millis;
use choose::WorkerLoad;
use events::{Events, TaskChange, TaskEvent};
use history::{FailedAttempt, History};
use ledger::Ledger;
use reorder::Reorder;
use retry::Retry;
use waiting::{Turn, Waiting};

mod again;
mod answer;
pub mod choose;
pub mod ended;
pub mod events;
pub mod history;
mod invariants;
pub mod ledger;
pub mod reorder;
pub mod retry;
mod waiting;

/// No task is sent more often, whatever comes between: far more than all retries and deaths take, so that only workers which
/// leave, or are lost, again and again lead here.
pub const ATTEMPTS_MAX: u32 = 4096;

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
    /// How often workers may die while they work on a task before it is reported as failed: one that kills its workers must
    /// not kill them all.
    pub losses_max: u32,
}

/// How a gateway lost a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The way to it broke, its node is gone, the plan took it away, or it died with nothing to do: whatever it had is not to
    /// blame.
    Gone,
    /// Its process died by itself while it worked on this attempt.
    Died {
        /// Of this task.
        task: TaskId,
        /// Which try.
        attempt: u32,
    },
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
pub struct Send<P, C> {
    /// To whom.
    pub worker: WorkerId,
    /// Which task.
    pub task: TaskId,
    /// Which try; a larger number fences off every smaller one.
    pub attempt: u32,
    /// What to work on.
    pub payload: P,
    /// How far an earlier attempt got.
    pub checkpoint: Option<C>,
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
    /// Its attempts that failed or were lost before, oldest first.
    pub history: Vec<FailedAttempt>,
}

/// Tasks that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// They wait for a worker, or for the time of their next try.
    pub waiting: u64,
    /// A worker has them.
    pub running: u64,
}

#[derive(Debug)]
struct Task<P, C> {
    payload: P,
    checkpoint: Option<C>,
    turn: Turn,
    /// The first attempt's number: a client that came from a lost gateway begins above what that one may have used.
    attempt_first: u32,
    attempt: u32,
    running_on: Option<(WorkerId, Millis)>,
    history: History,
}

impl<P, C> Task<P, C> {
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

/// The tasks of one session at one gateway. `P` is a payload and `C` a checkpoint, both cheap to clone; `R` is a result.
#[derive(Debug)]
pub struct Dispatcher<P, R, C> {
    limits: Limits,
    retry: Retry,
    tasks: BTreeMap<TaskId, Task<P, C>>,
    /// Tasks that run; all others wait.
    running: usize,
    waiting: Waiting,
    /// Tasks taken in so far.
    arrivals: u64,
    workers: BTreeMap<WorkerId, WorkerLoad>,
    streams: BTreeMap<StreamId, Stream<R>>,
    deliveries: VecDeque<Delivery<R>>,
    /// Tasks ended and not yet taken out by [`Self::next_delivery`], whether in order already or not.
    undelivered: usize,
    events: Events,
}

impl<P: Clone, R, C: Clone> Dispatcher<P, R, C> {
    /// A dispatcher with no workers and no streams.
    pub fn new(limits: Limits, retry: Retry) -> Self {
        Self {
            limits,
            retry,
            tasks: BTreeMap::new(),
            running: 0,
            waiting: Waiting::default(),
            arrivals: 0,
            workers: BTreeMap::new(),
            streams: BTreeMap::new(),
            deliveries: VecDeque::new(),
            undelivered: 0,
            events: Events::default(),
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
        for (task, gone) in self.tasks.extract_if(of_stream(id), |_, _| true) {
            stream.ledger.dropped += 1;
            self.running -= usize::from(gone.running_on.is_some());
            self.events.push(task, gone.attempt, TaskChange::Dropped);
        }
        self.waiting.retain(|task| task.stream != id);
        let before = self.deliveries.len();
        self.deliveries.retain(|delivery| delivery.task.stream != id);
        self.undelivered -= before - self.deliveries.len() + stream.reorder.held();
        Some(stream.ledger)
    }

    /// A task comes in. Its attempts are counted from `attempt_first`; among those of the session it goes before all of a
    /// lower priority, and before all of its own that come later.
    pub fn submit(&mut self, id: TaskId, attempt_first: u32, priority: u8, payload: P) -> Result<(), Refused> {
        let stream = self.streams.get_mut(&id.stream).ok_or(Refused::NoStream)?;
        if self.tasks.contains_key(&id) || stream.reorder.is_past(id.sequence) {
            return Err(Refused::Duplicate);
        }
        let is_full = self.tasks.len() + self.undelivered >= self.limits.tasks_max;
        let is_waited_for = stream.reorder.is_turn_of(id.sequence) && self.deliveries.is_empty();
        if is_full && !is_waited_for {
            return Err(Refused::Full);
        }
        stream.ledger.submitted += 1;
        // Both numbers come from a client: whatever the first is, there must be room above it.
        let attempt = attempt_first.min(u32::MAX - ATTEMPTS_MAX);
        self.arrivals += 1;
        let turn = Turn { priority: Reverse(priority.min(PRIORITY_MAX)), arrival: self.arrivals };
        let history = History::default();
        let task = Task { payload, checkpoint: None, turn, attempt_first: attempt, attempt, running_on: None, history };
        self.tasks.insert(id, task);
        self.waiting.anywhere.insert(turn, id);
        self.events.push(id, attempt, TaskChange::Submitted);
        Ok(())
    }

    /// A worker on this node takes up to `credits` tasks of this gateway at once. The credits of one that is known stand.
    pub fn on_worker(&mut self, worker: WorkerId, node: NodeId, credits: u32) {
        let load = self.workers.entry(worker).or_insert_with(|| WorkerLoad::new(node, credits));
        load.set_leaving(false);
        load.reopen();
        self.place_again();
    }

    /// The session is over: everything that waits or runs ends with this reason.
    pub fn fail_all(&mut self, reason: &str) {
        while let Some(id) = self.tasks.keys().next().copied() {
            self.end(id, None, Outcome::Failed(reason.into()));
        }
        self.waiting = Waiting::default();
        self.workers.clear();
    }

    /// The next attempt to send; none until a credit or a task comes in, or the time of [`Self::wake_at`].
    pub fn next_send(&mut self, now: Millis) -> Option<Send<P, C>> {
        while let Some(id) = self.waiting.pop_rested(now) {
            self.enqueue(id);
        }
        let (worker, id) = self.next_pair()?;
        let task = self.tasks.get_mut(&id)?;
        task.running_on = Some((worker, now));
        self.running += 1;
        for (other, load) in &mut self.workers {
            if *other == worker {
                load.begin(id, task.attempt);
            } else {
                load.pass_over();
            }
        }
        self.events.push(id, task.attempt, TaskChange::Sent { worker });
        let (payload, checkpoint) = (task.payload.clone(), task.checkpoint.clone());
        Some(Send { worker, task: id, attempt: task.attempt, payload, checkpoint })
    }

    /// When [`Self::next_send`] should be called again though nothing else happens: a retry's wait is over.
    pub fn wake_at(&self) -> Option<Millis> {
        self.waiting.resting.first_key_value().map(|((due, _), _)| *due)
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

    /// Workers that are there, also those about to leave.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// The attempts that a worker has and has not answered.
    pub fn held_by(&self, worker: WorkerId) -> impl Iterator<Item = (TaskId, u32)> {
        self.workers.get(&worker).into_iter().flat_map(WorkerLoad::held)
    }

    /// Tasks that have not ended, of all streams.
    pub fn demand(&self) -> Demand {
        Demand { waiting: (self.tasks.len() - self.running) as u64, running: self.running as u64 }
    }

    /// What happened after this event, oldest first: as far back as [`Self::events_overwritten`].
    pub fn events_since(&self, sequence: u64) -> impl Iterator<Item = &TaskEvent> {
        self.events.since(sequence)
    }

    /// The number of the last event; 0 where nothing happened yet.
    pub fn events_last(&self) -> u64 {
        self.events.last()
    }

    /// The number of the last event that is kept no more.
    pub fn events_overwritten(&self) -> u64 {
        self.events.overwritten()
    }

    /// Of all that wait and whose worker has a credit, the one whose turn it is, and that worker.
    fn next_pair(&mut self) -> Option<(WorkerId, TaskId)> {
        let mut first = None;
        if let Some(turn) = self.waiting.anywhere.first() {
            first = Some((turn, choose::best(&self.workers, None)?, None));
        }
        for (node, queue) in &self.waiting.placed {
            let (Some(turn), Some(node)) = (queue.first(), *node) else { continue };
            if first.is_none_or(|(other, ..)| turn < other)
                && let Some(worker) = choose::best(&self.workers, Some(node))
            {
                first = Some((turn, worker, Some(node)));
            }
        }
        let (_, worker, node) = first?;
        let id = match node {
            Some(node) => self.waiting.pop_placed(node),
            None => self.waiting.anywhere.pop_first(),
        };
        Some((worker, id?))
    }

    fn end(&mut self, id: TaskId, worker: Option<WorkerId>, outcome: Outcome<R>) {
        let Some(task) = self.tasks.remove(&id) else { return };
        self.running -= usize::from(task.running_on.is_some());
        let Some(stream) = self.streams.get_mut(&id.stream) else { return };
        let change = match &outcome {
            Outcome::Done(_) => {
                stream.ledger.done += 1;
                TaskChange::Done
            }
            Outcome::Failed(reason) => {
                stream.ledger.failed += 1;
                TaskChange::Ended { reason: history::shortened(reason.clone()) }
            }
        };
        self.events.push(id, task.attempt, change);
        self.undelivered += 1;
        let history = task.history.into_attempts();
        stream.reorder.insert(id.sequence, Delivery { task: id, attempt: task.attempt, worker, outcome, history });
        while let Some(next) = stream.reorder.take_next() {
            self.deliveries.push_back(next);
        }
    }
}

fn of_stream(stream: StreamId) -> core::ops::RangeInclusive<TaskId> {
    TaskId { stream, sequence: Sequence(0) }..=TaskId { stream, sequence: Sequence(u64::MAX) }
}
