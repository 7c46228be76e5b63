//! What must hold of a dispatcher between any two calls.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dispatch::reorder::Reorder;
use crate::dispatch::waiting::{Queue, Turn};
use crate::dispatch::{ATTEMPTS_MAX, Dispatcher, TaskId};
use crate::ids::NodeId;

impl<P: Clone, R, C: Clone> Dispatcher<P, R, C> {
    /// Everything that does not hold, in words; empty for a sound dispatcher. It looks at every task: for tests and the
    /// simulator.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.every_task_has_one_place(&mut found);
        self.nobody_waits_for_ever(&mut found);
        self.tries_are_bounded(&mut found);
        self.credits_hold(&mut found);
        self.house_is_counted(&mut found);
        self.events_are_in_order(&mut found);
        for (id, stream) in &self.streams {
            if !stream.ledger.balances(self.pending(*id)) {
                found.push(format!("the ledger of stream {id} does not balance: {:?}", stream.ledger));
            }
        }
        found
    }

    /// All that wait: where, by which turn.
    fn waiting_places(&self) -> impl Iterator<Item = (&'static str, Turn, TaskId)> {
        let of = |place: &'static str| move |(turn, id): (Turn, TaskId)| (place, turn, id);
        let placed = self.waiting.placed.values().flat_map(Queue::iter);
        let resting = self.waiting.resting.iter().map(|((_, turn), id)| (*turn, *id));
        self.waiting
            .anywhere
            .iter()
            .map(of("anywhere"))
            .chain(placed.map(of("placed")))
            .chain(resting.map(of("resting")))
    }

    fn every_task_has_one_place(&self, found: &mut Vec<String>) {
        let mut waiting = BTreeMap::new();
        for (place, turn, id) in self.waiting_places() {
            if let Some(other) = waiting.insert(id, place) {
                found.push(format!("{id:?} waits twice: {other} and {place}"));
            }
            match self.tasks.get(&id) {
                None => found.push(format!("{id:?} waits and is not in house")),
                Some(task) if task.turn != turn => found.push(format!("{id:?} waits by another turn")),
                Some(task) if (task.history.counts().0 == 0) != (place == "anywhere") => {
                    found.push(format!("{id:?} waits {place} after {:?}", task.history));
                }
                Some(_) => {}
            }
        }
        for (id, task) in &self.tasks {
            let held = task.running_on.and_then(|(worker, _)| self.workers.get(&worker));
            let is_held = held.is_some_and(|load| load.holds(*id, task.attempt));
            if is_held == waiting.contains_key(id) || is_held != task.running_on.is_some() {
                found.push(format!("{id:?} runs on {:?} and waits {:?}", task.running_on, waiting.get(id)));
            }
            if !self.streams.contains_key(&id.stream) {
                found.push(format!("{id:?} is in house and its stream is not open"));
            }
        }
    }

    /// A task waits for a node only where that will take one again, and for none only where none will.
    fn nobody_waits_for_ever(&self, found: &mut Vec<String>) {
        let serves = |node: NodeId| self.workers.values().any(|load| load.node() == node && load.serves());
        for node in self.waiting.placed.keys() {
            let is_right = match *node {
                Some(node) => serves(node),
                None => !self.workers.values().any(crate::dispatch::choose::WorkerLoad::serves),
            };
            if !is_right {
                found.push(format!("tasks wait for {node:?}, and nothing will come of it"));
            }
        }
    }

    fn tries_are_bounded(&self, found: &mut Vec<String>) {
        for (id, task) in &self.tasks {
            let (failures, losses) = task.history.counts();
            if failures >= self.retry.tries() || losses >= self.limits.losses_max {
                found.push(format!("{id:?} failed {failures} times, was lost {losses} times, and has not ended"));
            }
            let sent_before = task.attempt - task.attempt_first;
            if sent_before >= ATTEMPTS_MAX || sent_before < failures + losses {
                found.push(format!("{id:?} was sent {sent_before} times before: {:?}", task.history));
            }
        }
    }

    fn events_are_in_order(&self, found: &mut Vec<String>) {
        let numbers = self.events_since(0).map(|event| event.sequence);
        if !numbers.eq(self.events_overwritten() + 1..=self.events.last()) {
            found.push("the events have gaps".into());
        }
    }

    fn credits_hold(&self, found: &mut Vec<String>) {
        for (id, _) in self.workers.iter().filter(|(_, load)| load.is_over()) {
            found.push(format!("worker {id} holds more attempts than it gave credits"));
        }
    }

    fn house_is_counted(&self, found: &mut Vec<String>) {
        let running = self.tasks.values().filter(|task| task.running_on.is_some()).count();
        if running != self.running {
            found.push(format!("{running} tasks run, {} are counted", self.running));
        }
        let held: usize = self.streams.values().map(|stream| stream.reorder.held()).sum();
        if self.undelivered != self.deliveries.len() + held {
            found.push(format!("{} ends counted, {} there", self.undelivered, self.deliveries.len() + held));
        }
        let ordered = self.streams.values().filter(|stream| matches!(stream.reorder, Reorder::Ordered { .. }));
        let most = self.limits.tasks_max + ordered.count();
        if self.tasks.len() + self.undelivered > most {
            found.push(format!("{} tasks in house; the most is {most}", self.tasks.len() + self.undelivered));
        }
    }
}
