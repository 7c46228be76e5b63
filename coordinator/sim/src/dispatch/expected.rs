//! What should happen: the rules again, as plainly as they can be written, with no thought of speed.

use std::collections::BTreeMap;

use skein_core::dispatch::ledger::Ledger;
use skein_core::dispatch::{Delivery, Dispatcher, Limits, Outcome, Refused, Send, TaskId};
use skein_core::{Sequence, StreamId, WorkerId};

#[derive(Debug)]
pub(super) struct Expected {
    limits: Limits,
    streams: BTreeMap<StreamId, Stream>,
    workers: BTreeMap<WorkerId, Worker>,
    /// The places before and behind everything that waits.
    front: i64,
    back: i64,
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
    attempt_first: u32,
    attempt: u32,
    place: Place,
}

#[derive(Debug, PartialEq)]
enum Place {
    /// With its place in the queue.
    Waiting(i64),
    Running(WorkerId),
    Ended(Option<WorkerId>, Outcome<u64>),
    Delivered,
}

#[derive(Debug)]
struct Worker {
    credits: u32,
    holds: Vec<(TaskId, u32)>,
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
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, streams: BTreeMap::new(), workers: BTreeMap::new(), front: 0, back: 0 }
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
        stream.ledger.dropped += stream.pending() as u64;
        Some(stream.ledger)
    }

    pub(super) fn submit(&mut self, id: TaskId, attempt_first: u32, payload: u64) -> Result<(), Refused> {
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
        self.back += 1;
        let place = Place::Waiting(self.back);
        stream.tasks.insert(number, Task { payload, attempt_first, attempt: attempt_first, place });
        Ok(())
    }

    pub(super) fn attach(&mut self, worker: WorkerId, credits: u32) {
        self.workers.entry(worker).or_insert(Worker { credits, holds: Vec::new() });
    }

    /// How many tasks run again, and how many are given up.
    pub(super) fn lose(&mut self, worker: WorkerId) -> (u32, u32) {
        let (mut again, mut given_up) = (0, 0);
        let holds = self.workers.remove(&worker).map(|gone| gone.holds).unwrap_or_default();
        for (id, attempt) in holds.into_iter().rev() {
            let Some(stream) = self.streams.get_mut(&id.stream) else { continue };
            let Some(task) = stream.tasks.get_mut(&id.sequence.0) else { continue };
            if task.place != Place::Running(worker) || task.attempt != attempt {
                continue;
            }
            stream.ledger.lost_attempts += 1;
            task.attempt += 1;
            if task.attempt == task.attempt_first + self.limits.attempts_max {
                stream.ledger.failed += 1;
                given_up += 1;
                task.place = Place::Ended(Some(worker), Outcome::Failed(String::new()));
            } else {
                self.front -= 1;
                again += 1;
                task.place = Place::Waiting(self.front);
            }
        }
        (again, given_up)
    }

    pub(super) fn answer(&mut self, worker: WorkerId, id: TaskId, attempt: u32, outcome: &Outcome<u64>) -> bool {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.holds.retain(|held| *held != (id, attempt));
        }
        let Some(stream) = self.streams.get_mut(&id.stream) else { return false };
        let task = stream.tasks.get_mut(&id.sequence.0);
        let newest = task.filter(|task| task.place == Place::Running(worker) && task.attempt == attempt);
        let Some(task) = newest else {
            stream.ledger.fenced += 1;
            return false;
        };
        match outcome {
            Outcome::Done(_) => stream.ledger.done += 1,
            Outcome::Failed(_) => stream.ledger.failed += 1,
        }
        task.place = Place::Ended(Some(worker), outcome.clone());
        true
    }

    pub(super) fn fail_all(&mut self, reason: &str) {
        for stream in self.streams.values_mut() {
            for task in stream.tasks.values_mut() {
                if matches!(task.place, Place::Waiting(_) | Place::Running(_)) {
                    stream.ledger.failed += 1;
                    task.place = Place::Ended(None, Outcome::Failed(reason.into()));
                }
            }
        }
        self.workers.clear();
    }

    /// What is wrong with an attempt that was sent.
    pub(super) fn send(&mut self, send: &Send<u64>) -> Option<String> {
        let first = self.first_waiting();
        if first != Some(send.task) {
            return Some(format!("it is the turn of {first:?}"));
        }
        let Some(worker) = self.workers.get_mut(&send.worker) else { return Some("the worker is not there".into()) };
        if worker.holds.len() >= worker.credits as usize {
            return Some(format!("the worker gave {} credits and holds {:?}", worker.credits, worker.holds));
        }
        worker.holds.push((send.task, send.attempt));
        let task = self.streams.get_mut(&send.task.stream)?.tasks.get_mut(&send.task.sequence.0)?;
        task.place = Place::Running(send.worker);
        let right = task.attempt == send.attempt && task.payload == send.payload;
        (!right).then(|| format!("it should be attempt {} with {}", task.attempt, task.payload))
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
        // The wording of a task that was given up is the dispatcher's own.
        let given_up = matches!(&outcome, Outcome::Failed(reason) if reason.is_empty());
        let same = outcome == delivery.outcome || (given_up && matches!(delivery.outcome, Outcome::Failed(_)));
        (!same || worker != delivery.worker || task.attempt != delivery.attempt)
            .then(|| format!("attempt {} by {worker:?} ended it with {outcome:?}", task.attempt))
    }

    fn first_waiting(&self) -> Option<TaskId> {
        let tasks = self.streams.iter().flat_map(|(stream, kept)| kept.tasks.iter().map(move |task| (*stream, task)));
        let waiting = tasks.filter_map(|(stream, (number, task))| match task.place {
            Place::Waiting(place) => Some((place, TaskId { stream, sequence: Sequence(*number) })),
            _ => None,
        });
        waiting.min().map(|(_, id)| id)
    }

    pub(super) fn could_send(&self) -> bool {
        let free = self.workers.values().any(|worker| worker.holds.len() < worker.credits as usize);
        free && self.first_waiting().is_some()
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
    pub(super) fn differences(&self, dispatcher: &Dispatcher<u64, u64>) -> Vec<String> {
        let mut found = Vec::new();
        for (id, stream) in &self.streams {
            let (should, is) = (&stream.ledger, dispatcher.ledger(*id));
            let (pending, counted) = (stream.pending() as u64, dispatcher.pending(*id));
            if is != Some(should) || pending != counted || !should.balances(pending) {
                found.push(format!("stream {id}: {is:?} and {counted} pending, should be {should:?} and {pending}"));
            }
        }
        if dispatcher.worker_count() != self.workers.len() {
            found.push(format!("{} workers, should be {}", dispatcher.worker_count(), self.workers.len()));
        }
        found
    }
}
