//! Which task should be sent next, and where it may go.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use skein_core::dispatch::{Send, TaskId};
use skein_core::{Millis, NodeId, Sequence, WorkerId};

use super::{Expected, Place, Task};

/// Where an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum Sent {
    /// Anywhere: it never failed.
    First,
    /// Back to the node where it failed.
    Back,
    /// To a node where it did not fail yet, as its tries on the last one are over.
    On,
    /// To a node where it did not fail yet, though it should have gone back: that one is gone.
    Instead,
    /// To a node where it failed longest ago: there is no other.
    Again,
}

impl Expected {
    /// What is wrong with an attempt that was sent; or which way it went.
    pub(in crate::dispatch) fn send(&mut self, now: Millis, send: &Send<u64, u64>) -> Result<Sent, String> {
        let Some(task) = self.task(send.task) else { return Err("no such task".into()) };
        if !matches!(task.place, Place::Waiting(until) if until <= now) {
            return Err(format!("its place is {:?}", task.place));
        }
        let earlier = self.waiting().find(|(_, other)| turn(other) < turn(task) && self.must_go(now, other));
        if let Some((id, _)) = earlier {
            return Err(format!("it is the turn of {id:?}"));
        }
        let Some(worker) = self.workers.get(&send.worker) else { return Err("the worker is not there".into()) };
        if !self.is_free(send.worker) {
            return Err(format!("the worker has no room: {worker:?}"));
        }
        let nodes = self.nodes_for(task);
        if !nodes.contains(&worker.node) {
            return Err(format!("after {:?} it should go to one of {nodes:?}", task.history));
        }
        if (task.attempt, task.payload, task.checkpoint) != (send.attempt, send.payload, send.checkpoint) {
            return Err(format!("it should be {task:?}"));
        }
        let sent = self.way(task, worker.node);
        self.go(send);
        Ok(sent)
    }

    fn way(&self, task: &Task, to: NodeId) -> Sent {
        let failed_on = task.failed_on();
        let may_stay = !failed_on.len().is_multiple_of(self.retry.local as usize + 1);
        match failed_on.last() {
            None => Sent::First,
            Some(last) if may_stay && *last == to => Sent::Back,
            Some(_) if failed_on.contains(&to) => Sent::Again,
            Some(_) if may_stay => Sent::Instead,
            Some(_) => Sent::On,
        }
    }

    fn go(&mut self, send: &Send<u64, u64>) {
        if let Some(worker) = self.workers.get_mut(&send.worker) {
            worker.holds.push((send.task, send.attempt));
        }
        let stream = self.streams.get_mut(&send.task.stream);
        if let Some(task) = stream.and_then(|stream| stream.tasks.get_mut(&send.task.sequence.0)) {
            task.place = Place::Running(send.worker);
        }
        self.tell("sent");
    }

    /// The nodes of which a task may go to any.
    fn nodes_for(&self, task: &Task) -> BTreeSet<NodeId> {
        let serving =
            self.workers.values().filter(|worker| !worker.is_leaving && !worker.is_closed && worker.credits > 0);
        let serving: BTreeSet<NodeId> = serving.map(|worker| worker.node).collect();
        let failed_on = task.failed_on();
        let Some(last) = failed_on.last() else { return serving };
        if !failed_on.len().is_multiple_of(self.retry.local as usize + 1) && serving.contains(last) {
            return BTreeSet::from([*last]);
        }
        let untried: BTreeSet<NodeId> = serving.iter().filter(|node| !failed_on.contains(node)).copied().collect();
        if !untried.is_empty() {
            return untried;
        }
        let newest_failure = |node: &NodeId| failed_on.iter().rposition(|failed| failed == node);
        serving.into_iter().min_by_key(newest_failure).into_iter().collect()
    }

    /// Whether nothing holds a task back: wherever it may go, there is room.
    fn must_go(&self, now: Millis, task: &Task) -> bool {
        let has_room =
            |node: &NodeId| self.workers.iter().any(|(id, worker)| worker.node == *node && self.is_free(*id));
        let nodes = self.nodes_for(task);
        let can = if task.failed_on().is_empty() {
            nodes.iter().any(has_room)
        } else {
            !nodes.is_empty() && nodes.iter().all(has_room)
        };
        can && matches!(task.place, Place::Waiting(until) if until <= now)
    }

    fn is_free(&self, worker: WorkerId) -> bool {
        let worker = self.workers.get(&worker);
        worker.is_some_and(|worker| {
            !worker.is_leaving && !worker.is_closed && worker.holds.len() < worker.credits as usize
        })
    }

    /// A task that should have been sent.
    pub(in crate::dispatch) fn left_behind(&self, now: Millis) -> Option<TaskId> {
        self.waiting().find(|(_, task)| self.must_go(now, task)).map(|(id, _)| id)
    }

    /// Whether a task that came before this one waits: it goes first for its priority.
    pub(in crate::dispatch) fn overtakes(&self, id: TaskId) -> bool {
        let Some(task) = self.task(id) else { return false };
        self.waiting().any(|(_, other)| other.arrival < task.arrival && other.priority < task.priority)
    }

    /// When the next wait is over.
    pub(in crate::dispatch) fn wake_at(&self, now: Millis) -> Option<Millis> {
        let until = |(_, task): (TaskId, &Task)| match task.place {
            Place::Waiting(until) if until > now => Some(until),
            _ => None,
        };
        self.waiting().filter_map(until).min()
    }

    fn waiting(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        let tasks = self.streams.iter().flat_map(|(stream, kept)| kept.tasks.iter().map(move |task| (*stream, task)));
        let named = tasks.map(|(stream, (number, task))| (TaskId { stream, sequence: Sequence(*number) }, task));
        named.filter(|(_, task)| matches!(task.place, Place::Waiting(_)))
    }

    fn task(&self, id: TaskId) -> Option<&Task> {
        self.streams.get(&id.stream)?.tasks.get(&id.sequence.0)
    }
}

/// The smallest goes first.
fn turn(task: &Task) -> (Reverse<u8>, u64) {
    (Reverse(task.priority), task.arrival)
}
