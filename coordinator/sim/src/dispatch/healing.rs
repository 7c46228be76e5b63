//! Nothing goes wrong any more: every task must come out.

use skein_core::dispatch::{Loss, TaskId};
use skein_core::{Sequence, WorkerId};

use super::workers::node_of;
use super::{WORKERS, World};

/// Each round submits, runs and delivers something of every stream; no run has more tasks than this.
const ROUNDS_MAX: u64 = 4_000;

impl World {
    /// Returns how many rounds it took.
    pub(super) fn heal(&mut self) -> u64 {
        self.is_healing = true;
        for worker in 1..=WORKERS {
            // A worker that came with no credit leaves and comes back with some.
            let worker = WorkerId(worker);
            self.dispatcher.on_lost(self.now, worker, Loss::Gone);
            self.expected.lose(self.now, worker, Loss::Gone);
            self.dispatcher.on_worker(worker, node_of(worker), 2);
            self.expected.attach(worker, node_of(worker), 2);
        }
        for round in 0..ROUNDS_MAX {
            let missing = self.missing();
            if (missing.is_empty() && self.expected.house() == 0) || self.chance.is_over() {
                return round;
            }
            self.send();
            // In any order: a client whose tasks were refused may send the later ones first.
            for id in missing {
                self.submit_one(id);
                self.send();
                self.check();
            }
            // Nothing else happens: what rests must say by itself when it is to go on.
            self.now = self.dispatcher.wake_at().map_or(self.now, |at| at.max(self.now));
            self.send();
            while !self.flying.is_empty() {
                self.answer();
                self.send();
            }
            self.deliver();
            self.check();
        }
        let (left, missing) = (self.expected.house(), self.missing().len());
        self.chance.check(false, || format!("not healed: {left} tasks in house, {missing} cannot be submitted"));
        ROUNDS_MAX
    }

    /// What no stream ever took in, though later ones of its stream were, in random order.
    fn missing(&mut self) -> Vec<TaskId> {
        let mut missing = Vec::new();
        for stream in self.expected.streams() {
            let sequences = self.expected.missing_of(stream);
            missing.extend(sequences.into_iter().map(|number| TaskId { stream, sequence: Sequence(number) }));
        }
        for at in 1..missing.len() {
            missing.swap(at, self.chance.index(at + 1));
        }
        missing
    }
}
