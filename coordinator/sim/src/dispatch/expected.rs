//! What should happen: the rules again, as plainly as they can be written, with no thought of speed.

use std::collections::BTreeMap;

use skein_core::dispatch::events::TaskChange;
use skein_core::dispatch::history::{FailedAttempt, Fault};
use skein_core::dispatch::ledger::Ledger;
use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Delivery, Demand, Dispatcher, Limits, Loss, Outcome, Refused, TaskId};
use skein_core::{Millis, NodeId, Sequence, StreamId, WorkerId};

pub(super) use sending::Sent;

mod sending;

#[derive(Debug)]
pub(super) struct Expected {
    limits: Limits,
    retry: Retry,
    streams: BTreeMap<StreamId, Stream>,
    workers: BTreeMap<WorkerId, Worker>,
    /// Tasks taken in.
    arrivals: u64,
    /// How many events of each kind there should have been.
    told: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Stream {
    ordered: bool,
    first: u64,
    /// In an ordered stream: the next to be handed out.
    next_delivery: u64,
    tasks: BTreeMap<u64, Task>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Task {
    payload: u64,
    priority: u8,
    arrival: u64,
    attempt: u32,
    checkpoint: Option<u64>,
    history: Vec<FailedAttempt>,
    place: Place,
}

#[derive(Debug, PartialEq)]
enum Place {
    /// Until then at least.
    Waiting(Millis),
    Running(WorkerId),
    /// A failure begins with these words.
    Ended(Option<WorkerId>, Outcome<u64>),
    Delivered,
}

#[derive(Debug)]
struct Worker {
    node: NodeId,
    credits: u32,
    is_leaving: bool,
    /// The way to it was found closed.
    is_closed: bool,
    holds: Vec<(TaskId, u32)>,
}

/// What came of the attempts of a lost worker.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) again: u32,
    pub(super) again_at_no_cost: u32,
    pub(super) given_up: u32,
}

impl Task {
    /// Where it failed, oldest first.
    fn failed_on(&self) -> Vec<NodeId> {
        self.history.iter().filter(|attempt| !attempt.lost).map(|attempt| attempt.node).collect()
    }

    fn losses(&self) -> usize {
        self.history.iter().filter(|attempt| attempt.lost).count()
    }
}

impl Stream {
    /// In an ordered stream: the first that has not ended.
    fn turn(&self) -> u64 {
        let ended = |number: u64| matches!(self.tasks.get(&number).map(|t| &t.place), Some(Place::Ended(..)));
        let mut turn = self.next_delivery;
        while ended(turn) {
            turn += 1;
        }
        turn
    }

    fn count(&self, which: impl Fn(u64, &Place) -> bool) -> usize {
        self.tasks.iter().filter(|(number, task)| which(**number, &task.place)).count()
    }

    fn ready(&self) -> usize {
        let turn = if self.ordered { self.turn() } else { u64::MAX };
        self.count(|number, place| matches!(place, Place::Ended(..)) && number < turn)
    }

    fn pending(&self) -> usize {
        self.count(|_, place| matches!(place, Place::Waiting(_) | Place::Running(_)))
    }
}

impl Expected {
    pub(super) fn new(limits: Limits, retry: Retry) -> Self {
        let (streams, workers, told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { limits, retry, streams, workers, arrivals: 0, told }
    }

    fn tell(&mut self, kind: &'static str) {
        *self.told.entry(kind).or_default() += 1;
    }

    pub(super) fn open(&mut self, id: StreamId, ordered: bool, first: Sequence) -> Result<(), Refused> {
        if self.streams.contains_key(&id) {
            return Err(Refused::Duplicate);
        }
        if self.streams.len() >= self.limits.streams_max {
            return Err(Refused::Full);
        }
        let (first, ledger) = (first.0, Ledger::default());
        self.streams.insert(id, Stream { ordered, first, next_delivery: first, tasks: BTreeMap::new(), ledger });
        Ok(())
    }

    pub(super) fn close(&mut self, id: StreamId) -> Option<Ledger> {
        let mut stream = self.streams.remove(&id)?;
        let pending = stream.pending();
        stream.ledger.dropped += pending as u64;
        (0..pending).for_each(|_| self.tell("dropped"));
        Some(stream.ledger)
    }

    pub(super) fn submit(&mut self, id: TaskId, attempt: u32, priority: u8, payload: u64) -> Result<(), Refused> {
        let (house, ready) = (self.house(), self.ready());
        let stream = self.streams.get_mut(&id.stream).ok_or(Refused::NoStream)?;
        let number = id.sequence.0;
        if number < stream.first || stream.tasks.contains_key(&number) {
            return Err(Refused::Duplicate);
        }
        let is_waited_for = stream.ordered && stream.turn() == number && ready == 0;
        if house >= self.limits.tasks_max && !is_waited_for {
            return Err(Refused::Full);
        }
        stream.ledger.submitted += 1;
        self.arrivals += 1;
        let (arrival, place) = (self.arrivals, Place::Waiting(Millis(0)));
        let task = Task { payload, priority, arrival, attempt, checkpoint: None, history: Vec::new(), place };
        stream.tasks.insert(number, task);
        self.tell("submitted");
        Ok(())
    }

    pub(super) fn attach(&mut self, worker: WorkerId, node: NodeId, credits: u32) {
        let fresh = Worker { node, credits, is_leaving: false, is_closed: false, holds: Vec::new() };
        let known = self.workers.entry(worker).or_insert(fresh);
        (known.is_leaving, known.is_closed) = (false, false);
    }

    /// Whether that is news.
    pub(super) fn leave(&mut self, worker: WorkerId) -> bool {
        let known = self.workers.get_mut(&worker);
        known.is_some_and(|worker| !std::mem::replace(&mut worker.is_leaving, true))
    }

    pub(super) fn is_leaving(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.is_leaving)
    }

    /// What the worker got first, of what it has not answered.
    pub(super) fn oldest_of(&self, worker: WorkerId) -> Option<(TaskId, u32)> {
        self.workers.get(&worker)?.holds.first().copied()
    }

    /// An attempt was never sent after all: it waits again, under the same number.
    pub(super) fn unsend(&mut self, worker: WorkerId, id: TaskId, attempt: u32) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.is_closed = true;
            worker.holds.retain(|held| *held != (id, attempt));
        }
        if let Some((_, task)) = self.newest(worker, id, attempt) {
            task.place = Place::Waiting(Millis(0));
        }
        self.tell("unsent");
    }

    /// Only the attempt at which its process died may be to blame.
    pub(super) fn lose(&mut self, now: Millis, worker: WorkerId, loss: Loss) -> Lost {
        let mut lost = Lost::default();
        let Some(gone) = self.workers.remove(&worker) else { return lost };
        for (id, attempt) in gone.holds {
            let losses_max = self.limits.losses_max as usize;
            let Some((stream, task)) = self.newest(worker, id, attempt) else { continue };
            stream.lost_attempts += 1;
            task.attempt += 1;
            task.place = Place::Waiting(Millis(0));
            if loss == (Loss::Died { task: id, attempt }) {
                let (node, reason) = (gone.node, "the worker died while it worked on it".into());
                task.history.push(FailedAttempt { attempt, worker, node, at: now, lost: true, reason });
                if task.losses() == losses_max {
                    stream.failed += 1;
                    task.attempt -= 1;
                    task.place = Place::Ended(Some(worker), Outcome::Failed("tried ".into()));
                    lost.given_up += 1;
                } else {
                    lost.again += 1;
                }
            } else {
                lost.again_at_no_cost += 1;
            }
            self.tell("lost");
        }
        (0..lost.given_up).for_each(|_| self.tell("ended"));
        lost
    }

    /// What should come of an answer; nothing of one that is fenced off.
    pub(super) fn answer(
        &mut self,
        now: Millis,
        worker: WorkerId,
        id: TaskId,
        attempt: u32,
        result: &Result<u64, Fault>,
    ) -> Option<&'static str> {
        let node = self.workers.get(&worker).map(|worker| worker.node).unwrap_or_default();
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.holds.retain(|held| *held != (id, attempt));
        }
        let Retry { local, hosts, back_off } = self.retry;
        let Some((ledger, task)) = self.newest(worker, id, attempt) else {
            if let Some(stream) = self.streams.get_mut(&id.stream) {
                stream.ledger.fenced += 1;
            }
            return None;
        };
        let failed =
            |reason: &String| FailedAttempt { attempt, worker, node, at: now, lost: false, reason: reason.clone() };
        let (told, what) = match result {
            Ok(payload) => {
                ledger.done += 1;
                task.place = Place::Ended(Some(worker), Outcome::Done(*payload));
                ("done", "answer_taken")
            }
            Err(Fault::Task(reason)) => {
                ledger.failed += 1;
                task.history.push(failed(reason));
                task.place = Place::Ended(Some(worker), Outcome::Failed(reason.clone()));
                ("ended", "task_failed_by_its_own_fault")
            }
            Err(Fault::Place(reason)) => {
                ledger.failed_attempts += 1;
                task.history.push(failed(reason));
                let failures = task.failed_on().len();
                if failures == ((local + 1) * (hosts + 1)) as usize {
                    ledger.failed += 1;
                    task.place = Place::Ended(Some(worker), Outcome::Failed("tried ".into()));
                    ("failed_and_ended", "task_failed_after_its_retries")
                } else {
                    task.attempt += 1;
                    let wait = (1..failures).fold(back_off.0, |wait, _| (wait * 2).min(60_000));
                    task.place = Place::Waiting(Millis(now.0 + wait));
                    ("failed_and_retried", "attempt_failed_and_retried")
                }
            }
        };
        told.split("_and_").for_each(|kind| self.tell(kind));
        Some(what)
    }

    /// Whether only the newest attempt said so.
    pub(super) fn checkpoint(&mut self, worker: WorkerId, id: TaskId, attempt: u32, checkpoint: u64) -> bool {
        let Some((_, task)) = self.newest(worker, id, attempt) else { return false };
        task.checkpoint = Some(checkpoint);
        self.tell("checkpointed");
        true
    }

    /// The task, where this is its newest attempt and this worker runs it; with the account of its stream.
    fn newest(&mut self, worker: WorkerId, id: TaskId, attempt: u32) -> Option<(&mut Ledger, &mut Task)> {
        let stream = self.streams.get_mut(&id.stream)?;
        let task = stream.tasks.get_mut(&id.sequence.0)?;
        let is_newest = task.place == Place::Running(worker) && task.attempt == attempt;
        is_newest.then_some((&mut stream.ledger, task))
    }

    pub(super) fn fail_all(&mut self, reason: &str) {
        let mut ended = 0;
        for stream in self.streams.values_mut() {
            for task in stream.tasks.values_mut() {
                if matches!(task.place, Place::Waiting(_) | Place::Running(_)) {
                    stream.ledger.failed += 1;
                    ended += 1;
                    task.place = Place::Ended(None, Outcome::Failed(reason.into()));
                }
            }
        }
        (0..ended).for_each(|_| self.tell("ended"));
        self.workers.clear();
    }

    /// What is wrong with an end that was handed out.
    pub(super) fn deliver(&mut self, delivery: &Delivery<u64>) -> Option<String> {
        let Some(stream) = self.streams.get_mut(&delivery.task.stream) else { return Some("no such stream".into()) };
        let number = delivery.task.sequence.0;
        let Some(task) = stream.tasks.get_mut(&number) else { return Some("no such task".into()) };
        let Place::Ended(worker, outcome) = std::mem::replace(&mut task.place, Place::Delivered) else {
            return Some("it has not ended, or was delivered before".into());
        };
        if stream.ordered && number != stream.next_delivery {
            return Some(format!("{} is next in its stream", stream.next_delivery));
        }
        stream.next_delivery = number.saturating_add(1);
        let same = match (&outcome, &delivery.outcome) {
            (Outcome::Failed(begins), Outcome::Failed(reason)) => reason.starts_with(begins),
            (should, is) => should == is,
        };
        if task.history != delivery.history {
            return Some(format!("its history is {:?}", task.history));
        }
        (!same || worker != delivery.worker || task.attempt != delivery.attempt)
            .then(|| format!("attempt {} by {worker:?} ended it with {outcome:?}", task.attempt))
    }

    pub(super) fn ready(&self) -> usize {
        self.streams.values().map(Stream::ready).sum()
    }

    /// Tasks that were taken in and not handed out.
    pub(super) fn house(&self) -> usize {
        self.streams.values().map(|stream| stream.count(|_, place| *place != Place::Delivered)).sum()
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.house() > self.limits.tasks_max
    }

    /// The number after the largest that the stream took in.
    pub(super) fn next_of(&self, id: StreamId) -> u64 {
        let stream = self.streams.get(&id);
        stream.map_or(0, |stream| stream.tasks.keys().next_back().map_or(stream.first, |number| number + 1))
    }

    pub(super) fn streams(&self) -> Vec<StreamId> {
        self.streams.keys().copied().collect()
    }

    pub(super) fn missing_of(&self, id: StreamId) -> Vec<u64> {
        let Some(stream) = self.streams.get(&id) else { return Vec::new() };
        (stream.first..self.next_of(id)).filter(|number| !stream.tasks.contains_key(number)).collect()
    }

    /// Where the dispatcher's accounts are not as they should be.
    pub(super) fn differences(&self, dispatcher: &Dispatcher<u64, u64, u64>) -> Vec<String> {
        let mut found = Vec::new();
        for (id, stream) in &self.streams {
            let (should, is) = (&stream.ledger, dispatcher.ledger(*id));
            let (pending, counted) = (stream.pending() as u64, dispatcher.pending(*id));
            if is != Some(should) || pending != counted || !should.balances(pending) {
                found.push(format!("stream {id}: {is:?} and {counted} pending, should be {should:?} and {pending}"));
            }
        }
        let count = |which: fn(&Place) -> bool| {
            self.streams.values().map(|stream| stream.count(|_, place| which(place)) as u64).sum()
        };
        let waiting = count(|place| matches!(place, Place::Waiting(_)));
        let running = count(|place| matches!(place, Place::Running(_)));
        if dispatcher.demand() != (Demand { waiting, running }) {
            found.push(format!("{:?}, should be {waiting} and {running}", dispatcher.demand()));
        }
        if dispatcher.worker_count() != self.workers.len() {
            found.push(format!("{} workers, should be {}", dispatcher.worker_count(), self.workers.len()));
        }
        found
    }

    /// Where the events told so far are not those that there should have been.
    pub(super) fn wrongly_told(&self, told: &BTreeMap<&'static str, u64>) -> Option<String> {
        let should: BTreeMap<_, _> = self.told.iter().filter(|(_, count)| **count > 0).collect();
        let is: BTreeMap<_, _> = told.iter().collect();
        (should != is).then(|| format!("told {is:?}, should be {should:?}"))
    }
}

pub(super) fn kind(change: &TaskChange) -> &'static str {
    match change {
        TaskChange::Submitted => "submitted",
        TaskChange::Sent { .. } => "sent",
        TaskChange::Unsent { .. } => "unsent",
        TaskChange::Lost { .. } => "lost",
        TaskChange::Failed { .. } => "failed",
        TaskChange::Retried { .. } => "retried",
        TaskChange::Checkpointed => "checkpointed",
        TaskChange::Done => "done",
        TaskChange::Ended { .. } => "ended",
        TaskChange::Dropped => "dropped",
    }
}
