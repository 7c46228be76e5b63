//! What clients, gateways and workers' nodes say to each other about tasks. Pictures and tensors are payload.

use serde::{Deserialize, Serialize};
use skein_core::dispatch::history::{FailedAttempt, Fault};
use skein_core::dispatch::ledger::Ledger;
use skein_core::dispatch::{Loss, TaskId};
use skein_core::session::PRIORITY_DEFAULT;
use skein_core::{NodeId, Sequence, WorkerId};

use crate::api::ApiError;
use crate::worker::protocol::{AnswerKind, InputKind, is_zero};

/// A client's task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskHead {
    /// Its place in the stream.
    pub sequence: Sequence,
    /// The number of its first attempt here: above all that another gateway may have used.
    pub attempt_first: u32,
    /// 0 to 100; among the waiting tasks of the session, higher ones are sent first.
    #[serde(default = "priority_default")]
    pub priority: u8,
    /// What the payload is.
    pub input: InputKind,
}

fn priority_default() -> u8 {
    PRIORITY_DEFAULT
}

/// From the gateway to the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToClient {
    /// The stream is open; or it is not, and why.
    Opened(Result<(), ApiError>),
    /// One task ended.
    Result(ResultHead),
    /// A task was not taken in; come again after this time.
    Refused {
        /// Which.
        sequence: Sequence,
        /// In milliseconds.
        retry_after_ms: u64,
    },
    /// Nothing has ended for a while, and the gateway is there: a session may wait long for its workers.
    Here,
    /// The client sent what cannot be, and the stream ends.
    Wrong(ApiError),
    /// All tasks ended and the client will send no more: the gateway's account of the stream.
    Closed(Ledger),
}

/// One task's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResultHead {
    /// Its place in the stream.
    pub sequence: Sequence,
    /// The attempt that ended it.
    pub attempt: u32,
    /// The worker that ended it, and where it ran.
    pub worker: Option<(WorkerId, NodeId)>,
    /// How long the worker ran, in microseconds.
    pub run_micros: u64,
    /// How it ended; tensors lie in the payload.
    pub result: Result<AnswerKind, String>,
    /// Its attempts before that failed, and those at which a worker died, oldest first.
    pub history: Vec<FailedAttempt>,
}

/// From a worker's node to a gateway that wants to attach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Attach {
    /// So many attempts at once.
    Granted(u32),
    /// No such worker is ready here.
    NotHere,
}

/// A gateway's attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptHead {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// What the payload is.
    pub input: InputKind,
    /// The payload begins with so many bytes of a checkpoint, from which to go on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub checkpoint_bytes: usize,
}

/// From a worker's node to an attached gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromHost {
    /// One attempt is so far: the payload is what another worker needs to go on from there.
    Checkpoint {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: u32,
    },
    /// One attempt ended.
    End(EndHead),
    /// The worker is gone, and this is all that it will say.
    Lost(Loss),
}

/// One attempt's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndHead {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// How long the worker ran, in microseconds.
    pub run_micros: u64,
    /// How it ended, and who is to blame where it failed; tensors lie in the payload.
    pub result: Result<AnswerKind, Fault>,
}
