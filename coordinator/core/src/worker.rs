//! Workers as the plan knows them.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, SessionId};
use crate::resources::Resources;
use crate::time::Millis;

/// The longest reason a node may give for a failure, in bytes.
pub const REASON_BYTES_MAX: usize = 2048;

/// A worker that the plan holds: one process with one model on one device for one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Whom it serves.
    pub session: SessionId,
    /// Where it runs.
    pub node: NodeId,
    /// On which of the node's devices.
    pub device: String,
    /// What it was given there.
    pub need: Resources,
    /// How far it is, as its node last said.
    pub status: WorkerStatus,
    /// What it is there for.
    pub duty: Duty,
    /// Work that would be lost with it: the time since its task began or last wrote a checkpoint, as its node last said.
    pub at_stake: Millis,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerStatus {
    /// Its model is on the way or loading.
    Starting,
    /// It has passed its warm-up run.
    Ready,
}

/// What a worker is there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// It takes tasks.
    Serving,
    /// Its session gave it back. It takes no tasks and keeps its model loaded until somebody needs the room.
    Warm,
    /// It takes no new tasks and goes when those it has are done, at the latest at this time.
    Leaving {
        /// Since the Unix epoch.
        until: Millis,
        /// Why.
        why: Why,
    },
}

/// Why a worker has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// A session of higher priority takes its place.
    Preempted {
        /// Which.
        by: SessionId,
    },
    /// It was lent from what is spare, and another session has a better right to that now.
    Reclaimed {
        /// Which.
        by: SessionId,
    },
    /// Its node or device is drained.
    Drained,
}

/// What a node says of one of its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReport {
    /// It goes on, this far.
    Status(WorkerStatus),
    /// Work of so much time would be lost with it now. Said when it has doubled since it was last said, and when it is
    /// none again: tasks of a few milliseconds are never worth a word.
    AtStake(Millis),
    /// It had to leave, and has finished what it had.
    Left,
    /// The node gave up on it: the plan should look elsewhere.
    Failed {
        /// Why, for people; at most [`REASON_BYTES_MAX`] bytes are kept.
        reason: String,
    },
    /// The system ended it because it used more memory than there was.
    OutOfMemory,
}

impl Worker {
    /// Whether it counts as one of its session's workers.
    pub fn serves(&self) -> bool {
        self.duty == Duty::Serving
    }

    /// Whether it has to go now, where its session gives so much grace. A drain may take as long as it takes.
    pub fn is_overdue(&self, now: Millis, grace: Millis) -> bool {
        match &self.duty {
            Duty::Leaving { until, why: Why::Drained } => *until <= now,
            Duty::Leaving { until, .. } => until.has_come(now, grace),
            Duty::Serving | Duty::Warm => false,
        }
    }

    /// Whether a gateway may send it tasks.
    pub fn takes_tasks(&self) -> bool {
        self.serves() && self.status == WorkerStatus::Ready
    }
}

impl Duty {
    /// For which session it has to leave, where that is why.
    pub fn leaves_for(&self) -> Option<SessionId> {
        match self {
            Self::Leaving { why: Why::Preempted { by } | Why::Reclaimed { by }, .. } => Some(*by),
            _ => None,
        }
    }
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preempted { by } => write!(f, "session {by} has a higher priority and takes its place"),
            Self::Reclaimed { by } => write!(f, "it was lent, and session {by} has a better right to the room"),
            Self::Drained => f.write_str("its place is drained"),
        }
    }
}
