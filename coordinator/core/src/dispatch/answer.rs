//! What workers say about the attempts they were sent.

use crate::dispatch::events::TaskChange;
use crate::dispatch::history::{FailedAttempt, Fault};
use crate::dispatch::{Dispatcher, Outcome, TaskId};
use crate::ids::WorkerId;
use crate::time::Millis;

impl<P: Clone, R, C: Clone> Dispatcher<P, R, C> {
    /// A worker answers. An answer that is not from the newest attempt is fenced off: it is counted, and `false`.
    pub fn on_result(
        &mut self,
        now: Millis,
        worker: WorkerId,
        id: TaskId,
        attempt: u32,
        result: Result<R, Fault>,
    ) -> bool {
        let current = self.tasks.get_mut(&id).filter(|task| task.runs(worker, attempt));
        let load = self.workers.get_mut(&worker);
        let (Some(task), Some(load)) = (current, load) else {
            if let Some(load) = self.workers.get_mut(&worker) {
                load.forget(id, attempt);
            }
            if let Some(stream) = self.streams.get_mut(&id.stream) {
                stream.ledger.fenced += 1;
            }
            return false;
        };
        let sent = task.running_on.map_or(now, |(_, sent)| sent);
        let node = load.node();
        let failed = |reason| FailedAttempt { attempt, worker, node, at: now, lost: false, reason };
        match result {
            Ok(result) => {
                load.finish(id, attempt, now.since(sent));
                self.end(id, Some(worker), Outcome::Done(result));
            }
            Err(Fault::Task(reason)) => {
                load.finish(id, attempt, now.since(sent));
                task.history.push(failed(reason.clone()));
                let why = task.history.after_all(&reason);
                self.end(id, Some(worker), Outcome::Failed(why));
            }
            Err(Fault::Place(reason)) => {
                load.fail(id, attempt);
                self.on_fault(failed(reason), id);
            }
        }
        true
    }

    /// A task that has just come in was so far at another gateway, and its first attempt here begins there.
    pub fn start_from(&mut self, id: TaskId, checkpoint: C) {
        if let Some(task) = self.tasks.get_mut(&id).filter(|task| task.running_on.is_none()) {
            task.checkpoint = Some(checkpoint);
        }
    }

    /// An attempt that was given up with its worker ended there all the same, as is heard long after. It counts like any other answer
    /// that comes too late, where its stream is still open: whether it is.
    pub fn on_late(&mut self, id: TaskId) -> bool {
        let stream = self.streams.get_mut(&id.stream);
        stream.map(|stream| stream.ledger.fenced += 1).is_some()
    }

    /// An attempt has got so far that the task's next one can begin there. Only the newest may say so.
    pub fn on_checkpoint(&mut self, worker: WorkerId, id: TaskId, attempt: u32, checkpoint: C) -> bool {
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.runs(worker, attempt)) else { return false };
        task.checkpoint = Some(checkpoint);
        self.events.push(id, attempt, TaskChange::Checkpointed);
        true
    }
}
