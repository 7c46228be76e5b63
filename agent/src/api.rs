//! The control API: one set of typed requests and answers, whoever asks.
//!
//! The command line speaks it as CBOR over `skein/1`. A rule or a check is written once, in [`handle`].

use serde::{Deserialize, Serialize};
use skein_core::capability::NodeSpec;
use skein_core::durable::TaskCommand;
use skein_core::explain::{Explanation, Forecast};
use skein_core::health::{DeviceReport, Ending};
use skein_core::island::IslandReport;
use skein_core::model::{ModelQuery, ModelSpec};
use skein_core::policy::PolicyName;
use skein_core::seats::Rules;
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerReport;
use skein_core::{Millis, NodeId, Refusal, SessionId, StreamId, WorkerId};
use thiserror::Error;

pub(crate) use coordinator::lost_words;
pub(crate) use time::time;

pub use answers::coordinator::{CoordinatorStatus, Member};
pub use answers::{DeviceStatus, EventPage, MeshStatus, ModelAdded, ModelRun, ModelShown, ModelStatus, TaskEventPage};
pub use answers::{NodeStatus, SeatStatus, SessionStatus, TaskStatus, WorkerEntry};

mod answers;
mod coordinator;
pub mod handle;
mod models;
mod status;
mod time;
mod waiting;

/// What can be asked of any agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Every node of the mesh, who votes and leads, and the mesh's policy.
    NodeStatus,
    /// Who votes, how each seat stands, and what changes next.
    CoordinatorStatus,
    /// Another voter is to lead: this one, or the one that has most of the log.
    Transfer(Option<NodeId>),
    /// Every model.
    ModelList,
    /// One model: what it takes and gives, and what of the asked node runs it.
    ModelShow(ModelQuery),
    /// Every open session, or one.
    SessionStatus(Option<SessionId>),
    /// Where one more worker could stand, and why nowhere else.
    Explain(Subject),
    /// What would happen if this session were opened now. It changes nothing.
    PlanTrial(SessionSpec),
    /// What happened after the event of this number; 0 for all that is kept.
    Events {
        /// The number of the last event that is known.
        after: u64,
        /// The most to give; an answer holds at most [`EVENTS_MAX`].
        most: usize,
    },
    /// What happened to the tasks of a session whose gateway the asked agent is, after the event of this number.
    TaskEvents {
        /// Whose tasks.
        session: SessionId,
        /// The number of the last event that is known.
        after: u64,
        /// The most to give; an answer holds at most [`EVENTS_MAX`].
        most: usize,
    },
    /// The streams of durable tasks, or one.
    TaskStatus(Option<StreamId>),
    /// Something that the leader commits.
    Change(Change),
}

/// The most events in one answer: their reasons are at most 2 KiB each, and a message's header has room for 4 MiB.
pub const EVENTS_MAX: usize = 256;

/// The most streams in one answer.
pub const TASK_STREAMS_MAX: usize = 1_000;

/// What is to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// Where one more worker of it could stand.
    Session(SessionId),
    /// Why it stands where it stands.
    Worker(WorkerId),
}

/// What the leader commits; an agent that does not lead passes it on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A node joins or states itself anew.
    Join(NodeSpec),
    /// A node, or a device of it, takes no more work.
    Block {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
        /// Why, for people.
        reason: String,
        /// What becomes of the work that runs there.
        ending: Ending,
    },
    /// It takes work again.
    Unblock {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
    },
    /// Sessions are ordered by this policy.
    PolicySet(PolicyName),
    /// How many vote, and when one that is gone is replaced; what is not named stays as it is.
    SeatsSet {
        /// How many.
        voters: Option<usize>,
        /// After how long.
        replace_after: Option<Millis>,
    },
    /// A node gives its vote up, where another can take it.
    SeatEvict(NodeId),
    /// It may vote again.
    SeatAllow(NodeId),
    /// A model whose files the asked agent holds already.
    ModelAdd(ModelSpec),
    /// A session.
    SessionCreate(SessionSpec),
    /// Its end.
    SessionEnd(SessionId),
    /// What a node says of one of its workers.
    WorkerReport {
        /// Who says it.
        node: NodeId,
        /// Of which worker.
        worker: WorkerId,
        /// What.
        report: WorkerReport,
    },
    /// Durable tasks: words of nodes, never a client's own. Each has an answer of its own.
    Tasks(Vec<TaskCommand>),
    /// What a node did while it was cut off.
    IslandReport(IslandReport),
    /// What a node says of one of its devices.
    DeviceReport {
        /// Who says it.
        node: NodeId,
        /// Of which device.
        device: String,
        /// What.
        report: DeviceReport,
    },
}

/// What comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::NodeStatus`].
    Nodes(MeshStatus),
    /// To [`Request::CoordinatorStatus`].
    Coordinator(Box<CoordinatorStatus>),
    /// To [`Request::Transfer`]: who leads now.
    Transferred(NodeId),
    /// To [`Request::ModelList`].
    Models(Vec<ModelStatus>),
    /// To [`Request::ModelShow`].
    ModelShown(Box<ModelShown>),
    /// To [`Request::SessionStatus`].
    Sessions(Vec<SessionStatus>),
    /// To [`Request::Explain`].
    Explained(Explanation),
    /// To [`Request::PlanTrial`].
    Forecast(Box<Forecast>),
    /// To [`Request::Events`].
    Events(EventPage),
    /// To [`Request::TaskEvents`].
    TaskEvents(TaskEventPage),
    /// To [`Request::TaskStatus`].
    Tasks(Vec<TaskStatus>),
    /// To [`Change::Tasks`]: what came of each, in the same order.
    Committed(Vec<Result<(), Refusal>>),
    /// To changes of which there is nothing to say.
    Done,
    /// A model can be used.
    Model(ModelAdded),
    /// To [`Change::SessionCreate`].
    Created(SessionId),
    /// To [`Change::SessionEnd`].
    Ended(SessionId),
    /// To [`Change::Block`] and [`Change::Unblock`].
    Blocked {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
        /// Whether it is out of placement now.
        blocked: bool,
    },
    /// To [`Change::PolicySet`].
    Policy(PolicyName),
    /// To [`Change::SeatsSet`].
    Seats(Rules),
    /// To [`Change::SeatEvict`] and [`Change::SeatAllow`].
    Seat {
        /// Which node.
        node: NodeId,
        /// Whether it is to have no vote.
        evicted: bool,
    },
}

/// Why a request was not done. It travels, so its texts are made where they arise.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ApiError {
    /// The mesh said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The request cannot be right, wherever it is asked.
    #[error("{0}")]
    Invalid(String),
    /// It may be right, and cannot be done now.
    #[error("{0}")]
    Unavailable(String),
}
