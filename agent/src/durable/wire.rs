//! What clients and gateways say to each other about durable tasks. Inputs and answers are payload.

use serde::{Deserialize, Serialize};
use skein_core::durable::Account;
use skein_core::{Millis, NodeId, Sequence, SessionId, StreamId, WorkerId};

use crate::api::ApiError;
use crate::worker::protocol::{AnswerKind, InputKind};

/// A client's stream of durable tasks, at any agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DurableOpen {
    /// Drawn at random by the client; it names the stream for as long as the mesh keeps it.
    pub stream: StreamId,
    /// For which session; none where a stream that is known is only fetched.
    pub session: Option<SessionId>,
    /// How long ends are kept.
    pub keep: Millis,
}

/// From the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToGateway {
    /// Tasks to accept: their inputs lie in the payload, one after the other.
    Submit {
        /// The number of the first of them.
        first: Sequence,
        /// In the order of their numbers.
        tasks: Vec<NewTask>,
    },
    /// The client has these ends.
    Fetched {
        /// Which.
        sequences: Vec<Sequence>,
        /// And it will not come back.
        close: bool,
    },
}

/// A task to accept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewTask {
    /// What the client calls it, for whoever fetches its end.
    pub label: String,
    /// What the input is.
    pub input: InputKind,
    /// Its length in the payload, in bytes.
    pub size: usize,
    /// 0 to 100; among the waiting tasks of the session, higher ones are sent first.
    pub priority: u8,
}

/// From the gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToClient {
    /// The stream is open, and accepted up to this number; or it is not, and why.
    Opened(Result<Sequence, ApiError>),
    /// Every task before this number is accepted, by a majority of the voters.
    Accepted(Sequence),
    /// A batch was not accepted, and why.
    Refused(ApiError),
    /// A task ended; the tensors of its answer lie in the payload. It is sent again with the next connection until the client
    /// says that it has it.
    Ended(EndedHead),
    /// To [`ToGateway::Fetched`] with `close`: all is over, and this is the account.
    Closed(Account),
}

/// A task's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndedHead {
    /// Its place in the stream.
    pub sequence: Sequence,
    /// What the client called it.
    pub label: String,
    /// The attempt that ended it.
    pub attempt: u32,
    /// The worker that ended it, and where it ran.
    pub worker: Option<(WorkerId, NodeId)>,
    /// How long the worker ran, in microseconds.
    pub run_micros: u64,
    /// How it ended.
    pub result: Result<AnswerKind, String>,
}
