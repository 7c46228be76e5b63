//! What workers do, and what they are sent.

use skein_core::dispatch::history::Fault;
use skein_core::dispatch::{Loss, TaskId};
use skein_core::{NodeId, Sequence, WorkerId};

use super::expected::Sent;
use super::{Flying, WORKERS, World};

/// Some nodes have several workers.
const NODES: u64 = 3;

pub(super) fn node_of(worker: WorkerId) -> NodeId {
    NodeId(worker.0 % NODES)
}

impl World {
    pub(super) fn attach(&mut self) {
        let worker = self.any_worker();
        let credits = self.chance.small(0..5);
        self.chance.count(if self.expected.is_leaving(worker) { "worker_stays_after_all" } else { "worker_attached" });
        self.dispatcher.on_worker(worker, node_of(worker), credits);
        self.expected.attach(worker, node_of(worker), credits);
    }

    pub(super) fn lose(&mut self) {
        let worker = self.any_worker();
        let loss = self.any_loss(worker);
        self.dispatcher.on_lost(self.now, worker, loss);
        let lost = self.expected.lose(self.now, worker, loss);
        (0..lost.again).for_each(|_| self.chance.count("attempt_its_worker_died_at_and_run_again"));
        (0..lost.again_at_no_cost).for_each(|_| self.chance.count("attempt_lost_at_no_cost"));
        (0..lost.given_up).for_each(|_| self.chance.count("task_failed_after_its_workers_died"));
        self.chance.count("worker_lost");
    }

    /// Mostly its process dies at something that it was sent: the oldest, or what it was given up for long ago.
    fn any_loss(&mut self, worker: WorkerId) -> Loss {
        if self.chance.percent(40) {
            return Loss::Gone;
        }
        let own: Vec<Flying> = self.flying.iter().filter(|flying| flying.worker == worker).cloned().collect();
        let at = self.expected.oldest_of(worker).filter(|_| self.chance.percent(80));
        let at = at.or_else(|| self.chance.pick(own).map(|flying| (flying.task, flying.attempt)));
        at.map_or(Loss::Gone, |(task, attempt)| Loss::Died { task, attempt })
    }

    pub(super) fn leave(&mut self) {
        let worker = self.any_worker();
        self.dispatcher.on_leaving(worker);
        let is_news = self.expected.leave(worker);
        self.chance.count(if is_news { "worker_leaving" } else { "worker_leaving_again" });
    }

    /// Some worker answers something it once got, perhaps long after it was given up, perhaps not for the last time.
    pub(super) fn answer(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.chance.index(self.flying.len());
        let Flying { worker, task, attempt, payload } = self.flying[at].clone();
        if self.chance.percent(15) {
            self.chance.count("answer_doubled");
        } else {
            self.flying.swap_remove(at);
        }
        let result = match self.chance.number(0..10) {
            0..6 => Ok(payload),
            6 => Err(Fault::Task("it cannot be".into())),
            _ => Err(Fault::Place("it got too hot".into())),
        };
        self.answer_with(worker, task, attempt, result);
    }

    pub(super) fn answer_nonsense(&mut self) {
        let worker = WorkerId(self.chance.number(0..WORKERS + 2));
        if let Some(other) = self.chance.pick(self.flying.clone()) {
            // As if it had been asked in the other's place.
            self.answer_with(worker, other.task, other.attempt, Ok(0));
        }
        let task = TaskId { stream: self.any_stream(), sequence: Sequence(self.chance.number(0..40)) };
        // No attempt has this number: all begin above.
        self.answer_with(worker, task, 0, Ok(0));
    }

    fn answer_with(&mut self, worker: WorkerId, task: TaskId, attempt: u32, result: Result<u64, Fault>) {
        let should = self.expected.answer(self.now, worker, task, attempt, &result);
        let taken = self.dispatcher.on_result(self.now, worker, task, attempt, result);
        let what = || format!("attempt {attempt} of {task:?} by worker {worker}: taken {taken}, should be {should:?}");
        self.chance.check(taken == should.is_some(), what);
        self.chance.count(should.unwrap_or("answer_fenced"));
    }

    /// Some worker says how far it got with something, perhaps long after it was given up.
    pub(super) fn checkpoint(&mut self) {
        let Some(Flying { worker, task, attempt, .. }) = self.chance.pick(self.flying.clone()) else { return };
        let checkpoint = self.chance.number(0..1_000);
        let taken = self.dispatcher.on_checkpoint(worker, task, attempt, checkpoint);
        let should = self.expected.checkpoint(worker, task, attempt, checkpoint);
        self.chance.check(taken == should, || format!("checkpoint of {task:?}: taken {taken}, should be {should}"));
        self.chance.count(if taken { "checkpoint_taken" } else { "checkpoint_fenced" });
    }

    pub(super) fn send(&mut self) {
        while let Some(send) = self.dispatcher.next_send(self.now) {
            if self.expected.overtakes(send.task) {
                self.chance.count("task_overtook_a_lower_priority");
            }
            match self.expected.send(self.now, &send) {
                Ok(way) => self.chance.count(kind(way)),
                Err(wrong) => {
                    self.chance.check(false, || format!("{send:?}: {wrong}"));
                    return;
                }
            }
            if send.checkpoint.is_some() {
                self.chance.count("attempt_sent_from_a_checkpoint");
            }
            let (worker, task, attempt, payload) = (send.worker, send.task, send.attempt, send.payload);
            if self.chance.percent(2) && !self.is_healing {
                self.chance.count("attempt_not_sent_as_its_way_is_closed");
                self.dispatcher.on_unsent(worker, task, attempt);
                self.expected.unsend(worker, task, attempt);
                continue;
            }
            self.flying.push(Flying { worker, task, attempt, payload });
        }
        let left = self.expected.left_behind(self.now);
        self.chance.check(left.is_none(), || format!("{left:?} waits though a worker has a credit"));
        let (is, should) = (self.dispatcher.wake_at(), self.expected.wake_at(self.now));
        self.chance.check(is == should, || format!("wakes at {is:?}, should at {should:?}"));
        if should.is_some() {
            self.chance.count("retry_rests");
        }
    }

    fn any_worker(&mut self) -> WorkerId {
        WorkerId(1 + self.chance.number(0..WORKERS))
    }
}

fn kind(sent: Sent) -> &'static str {
    match sent {
        Sent::First => "attempt_sent",
        Sent::Back => "retry_on_the_same_node",
        Sent::On => "retry_on_an_untried_node",
        Sent::Instead => "retry_elsewhere_as_its_node_is_gone",
        Sent::Again => "retry_on_a_tried_node",
    }
}
