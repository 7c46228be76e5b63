//! What happened to the tasks of a session at this gateway, for whoever wants to follow it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::dispatch::TaskId;
use crate::ids::WorkerId;
use crate::time::Millis;

/// The most events kept: the last moments of a busy session, or the last hours of a quiet one, in less than 100 KB.
pub const EVENTS_MAX: usize = 1024;

/// One change of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Counted from 1, without gaps.
    pub sequence: u64,
    /// Which task.
    pub task: TaskId,
    /// Which try; where it was submitted, or waits, the one that comes next.
    pub attempt: u32,
    /// What happened.
    pub change: TaskChange,
}

/// What happened to a task. Its words are the reason for the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskChange {
    /// A client submitted it.
    Submitted,
    /// The attempt went to a worker.
    Sent {
        /// To whom.
        worker: WorkerId,
    },
    /// The attempt could not be handed over.
    Unsent {
        /// To whom.
        worker: WorkerId,
    },
    /// The attempt is lost with its worker.
    Lost {
        /// Whose it was.
        worker: WorkerId,
        /// The worker's process died while it worked on it.
        at_work: bool,
    },
    /// The attempt failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The next attempt waits.
    Retried {
        /// For so long.
        after: Millis,
    },
    /// The attempt has got so far that the next one need not begin anew.
    Checkpointed,
    /// A worker answered.
    Done,
    /// It ended without an answer.
    Ended {
        /// Why.
        reason: String,
    },
    /// Its stream was closed.
    Dropped,
}

impl fmt::Display for TaskChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitted => f.write_str("a client submitted it"),
            Self::Sent { worker } => write!(f, "worker {worker} had room for it"),
            Self::Unsent { worker } => write!(f, "the way to worker {worker} was closed, and it was not sent"),
            Self::Lost { worker, at_work: true } => write!(f, "worker {worker} died while it worked on it"),
            Self::Lost { worker, at_work: false } => write!(f, "worker {worker} was lost, which costs nothing"),
            Self::Failed { reason } => write!(f, "the attempt failed: {reason}"),
            Self::Retried { after } => write!(f, "it is tried again after {after}"),
            Self::Checkpointed => f.write_str("the attempt wrote a checkpoint"),
            Self::Done => f.write_str("the worker answered"),
            Self::Ended { reason } => write!(f, "it is not tried again: {reason}"),
            Self::Dropped => f.write_str("its client went away"),
        }
    }
}

/// The last events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// A ring: the newest stands at the place of its number, before the oldest.
    kept: Vec<TaskEvent>,
    last: u64,
}

impl Events {
    pub(crate) fn push(&mut self, task: TaskId, attempt: u32, change: TaskChange) {
        let place = self.place_after_last();
        self.last += 1;
        let event = TaskEvent { sequence: self.last, task, attempt, change };
        match self.kept.get_mut(place) {
            Some(oldest) => *oldest = event,
            None => self.kept.push(event),
        }
    }

    /// Those after this one, oldest first.
    pub(crate) fn since(&self, sequence: u64) -> impl Iterator<Item = &TaskEvent> {
        let (newer, older) = self.kept.split_at(self.place_after_last().min(self.kept.len()));
        older.iter().chain(newer).filter(move |event| event.sequence > sequence)
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// How many are kept no more.
    pub(crate) fn overwritten(&self) -> u64 {
        self.last - self.kept.len() as u64
    }

    fn place_after_last(&self) -> usize {
        // The remainder is below a small constant.
        usize::try_from(self.last % EVENTS_MAX as u64).unwrap_or(0)
    }
}
