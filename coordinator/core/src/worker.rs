//! Workers as the plan knows them.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, SessionId};
use crate::resources::Resources;

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

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
        })
    }
}

/// What a node says of one of its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReport {
    /// It goes on, this far.
    Status(WorkerStatus),
    /// The node gave up on it: the plan should look elsewhere.
    Failed {
        /// Why, for people; at most [`REASON_BYTES_MAX`] bytes are kept.
        reason: String,
    },
}
