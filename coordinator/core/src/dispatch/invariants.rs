//! What must hold of a dispatcher between any two calls.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dispatch::reorder::Reorder;
use crate::dispatch::{Dispatcher, TaskId};

impl<P: Clone, R> Dispatcher<P, R> {
    /// Everything that does not hold, in words; empty for a sound dispatcher. It looks at every task: for tests and the
    /// simulator.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.every_task_has_one_place(&mut found);
        self.credits_hold(&mut found);
        self.house_is_counted(&mut found);
        for (id, stream) in &self.streams {
            if !stream.ledger.balances(self.pending(*id)) {
                found.push(format!("the ledger of stream {id} does not balance: {:?}", stream.ledger));
            }
        }
        found
    }

    fn every_task_has_one_place(&self, found: &mut Vec<String>) {
        let waiting: BTreeSet<TaskId> = self.waiting.iter().copied().collect();
        if waiting.len() < self.waiting.len() {
            found.push(format!("{} tasks wait twice", self.waiting.len() - waiting.len()));
        }
        if let Some(id) = waiting.iter().find(|id| !self.tasks.contains_key(id)) {
            found.push(format!("{id:?} waits and is not in house"));
        }
        for (id, task) in &self.tasks {
            let held = task.running_on.and_then(|(worker, _)| self.workers.get(&worker));
            let is_held = held.is_some_and(|load| load.holds(*id, task.attempt));
            if is_held == waiting.contains(id) || is_held != task.running_on.is_some() {
                found.push(format!("{id:?} runs on {:?} and waits: {}", task.running_on, waiting.contains(id)));
            }
            if !self.streams.contains_key(&id.stream) {
                found.push(format!("{id:?} is in house and its stream is not open"));
            }
        }
    }

    fn credits_hold(&self, found: &mut Vec<String>) {
        for (id, _) in self.workers.iter().filter(|(_, load)| load.is_over()) {
            found.push(format!("worker {id} holds more attempts than it gave credits"));
        }
    }

    fn house_is_counted(&self, found: &mut Vec<String>) {
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
