//! What becomes of attempts that do not succeed.

use alloc::format;
use core::mem::take;

use crate::dispatch::choose::node_for;
use crate::dispatch::events::TaskChange;
use crate::dispatch::history::{DIED, FailedAttempt};
use crate::dispatch::retry::Next;
use crate::dispatch::{ATTEMPTS_MAX, Dispatcher, Loss, Outcome, TaskId};
use crate::ids::WorkerId;
use crate::time::Millis;

impl<P: Clone, R, C: Clone> Dispatcher<P, R, C> {
    /// A worker takes nothing new, as it is about to go: what it has may end. To say it twice changes nothing, and
    /// [`Self::on_worker`] takes it back.
    pub fn on_leaving(&mut self, worker: WorkerId) {
        if let Some(load) = self.workers.get_mut(&worker) {
            load.set_leaving(true);
            self.place_again();
        }
    }

    /// A worker is gone, or out of reach: its attempts run again elsewhere, before anything that came after them. That is
    /// no failure; but an attempt at which the worker's process died may be what killed it, and a task must not kill them
    /// all. The others were waiting in its queue.
    pub fn on_lost(&mut self, now: Millis, worker: WorkerId, loss: Loss) {
        let Some(load) = self.workers.remove(&worker) else { return };
        let node = load.node();
        for (id, attempt) in load.outstanding() {
            let Some(task) = self.tasks.get_mut(&id).filter(|task| task.runs(worker, attempt)) else { continue };
            task.running_on = None;
            self.running -= 1;
            if let Some(stream) = self.streams.get_mut(&id.stream) {
                stream.ledger.lost_attempts += 1;
            }
            let at_work = loss == Loss::Died { task: id, attempt };
            self.events.push(id, attempt, TaskChange::Lost { worker, at_work });
            if at_work {
                task.history.push(FailedAttempt { attempt, worker, node, at: now, lost: true, reason: DIED.into() });
            }
            if at_work && task.history.counts().1 >= self.limits.losses_max {
                let why = task.history.told();
                self.end(id, Some(worker), Outcome::Failed(why));
            } else if self.begin_next_attempt(id, worker) {
                self.enqueue(id);
            }
        }
        self.place_again();
    }

    /// An attempt could not be handed over, as the way to its worker is closed: it was never sent. The worker gets nothing
    /// more until it is lost, which its way says in its own time, or comes again.
    pub fn on_unsent(&mut self, worker: WorkerId, id: TaskId, attempt: u32) {
        let Some(load) = self.workers.get_mut(&worker) else { return };
        load.close();
        load.forget(id, attempt);
        if let Some(task) = self.tasks.get_mut(&id).filter(|task| task.runs(worker, attempt)) {
            task.running_on = None;
            self.running -= 1;
            self.events.push(id, attempt, TaskChange::Unsent { worker });
            self.enqueue(id);
        }
        self.place_again();
    }

    /// An attempt failed, and not by the task's fault.
    pub(super) fn on_fault(&mut self, failed: FailedAttempt, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let FailedAttempt { attempt, worker, at, .. } = failed;
        task.running_on = None;
        self.running -= 1;
        if let Some(stream) = self.streams.get_mut(&id.stream) {
            stream.ledger.failed_attempts += 1;
        }
        task.history.push(failed);
        self.events.push(id, attempt, TaskChange::Failed { reason: task.history.last_reason() });
        let (failures, _) = task.history.counts();
        if self.retry.after(failures) == Next::Over {
            let why = task.history.told();
            return self.end(id, Some(worker), Outcome::Failed(why));
        }
        if !self.begin_next_attempt(id, worker) {
            return;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        let after = self.retry.wait_after(failures);
        self.waiting.resting.insert((at + after, task.turn), id);
        self.events.push(id, task.attempt, TaskChange::Retried { after });
    }

    /// Puts a task in the queue where it belongs.
    pub(super) fn enqueue(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        match task.history.counts() {
            (0, _) => self.waiting.anywhere.insert(task.turn, id),
            (failures, _) => {
                let may_stay = self.retry.after(failures) == Next::Here;
                let node = node_for(&task.history, may_stay, &self.workers);
                self.waiting.place(node, task.turn, id);
            }
        }
    }

    /// Workers came or went: what waits for a node may be better off at another, and must not wait for one that is gone.
    pub(super) fn place_again(&mut self) {
        for queue in take(&mut self.waiting.placed).into_values() {
            queue.iter().for_each(|(_, id)| self.enqueue(id));
        }
    }

    /// Counts one attempt more; where there may be none, the task ends, and that is `false`.
    fn begin_next_attempt(&mut self, id: TaskId, worker: WorkerId) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        if task.attempt - task.attempt_first + 1 >= ATTEMPTS_MAX {
            let why = format!("sent {ATTEMPTS_MAX} times, and no worker was there until it was done");
            self.end(id, Some(worker), Outcome::Failed(why));
            return false;
        }
        task.attempt += 1;
        true
    }
}
