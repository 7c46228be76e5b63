//! What a stream is for: its first message.

use serde::{Deserialize, Serialize};
use skein_core::model::{Blob, Digest};
use skein_core::{MeshId, NodeId, Sequence, SessionId, StreamId, WorkerId};
use skein_raft::Call;

use crate::api::Request;
use crate::durable::wire::DurableOpen;
use crate::island::tell::LateEnds;
use crate::link::Urgency;

/// The first message on a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Open {
    /// Who are you? Answered by [`HelloAnswer`].
    Hello(Hello),
    /// A request to the control API; answered by one `Result<Answer, ApiError>`.
    Api(Request),
    /// A model's files follow as raw bytes, the graph first; answered like an API request.
    ModelPut(ModelPut),
    /// Send me this file: answered by its size or nothing, then its bytes.
    Blob(Digest),
    /// A Raft message as payload, and the mesh it speaks for, where the sender knows it; answered by one
    /// `Result<(), RaftRefusal>` with the Raft answer as payload.
    Raft(Call, Option<MeshId>),
    /// A client's stream of tasks to a session, at this gateway.
    Tasks(TasksOpen),
    /// A client's stream of durable tasks.
    Durable(DurableOpen),
    /// An input or an answer of a durable task follows as raw bytes, to be written down; answered by one
    /// `Result<(), String>`.
    TaskFile(Blob),
    /// A gateway's attempts for a worker of this node.
    Worker(WorkerOpen),
    /// Attempts of this gateway that ended on a node that was cut off; answered by one `LateAnswer`.
    Late(LateEnds),
}

impl Open {
    /// How urgent what follows is.
    pub fn urgency(&self) -> Urgency {
        match self {
            Self::Hello(_) | Self::Api(_) | Self::Raft(..) | Self::Late(_) => Urgency::Control,
            Self::Tasks(_) | Self::Durable(_) | Self::Worker(_) => Urgency::Tasks,
            Self::ModelPut(_) | Self::Blob(_) | Self::TaskFile(_) => Urgency::Bulk,
        }
    }
}

/// The dialler's side of the first exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Version of its binary.
    pub version: String,
}

/// The agent's side of the first exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// Who it is.
    pub node: NodeId,
    /// For people.
    pub name: String,
    /// Version of its binary.
    pub version: String,
    /// Its mesh; none while it looks for one.
    pub mesh: Option<MeshId>,
    /// Where its gossip listens, as libp2p multiaddresses with its peer id.
    pub gossip: Vec<String>,
}

/// A model on its way in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelPut {
    /// What it will be called.
    pub name: String,
    /// Its manifest, in TOML.
    pub manifest: String,
    /// The graph: the first bytes that follow.
    pub file: Blob,
    /// Its labels: the bytes after those.
    pub labels: Option<Blob>,
}

/// A stream of tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TasksOpen {
    /// To which session.
    pub session: SessionId,
    /// Drawn at random by the client, and kept when it goes on at another gateway.
    pub stream: StreamId,
    /// Whether results should come in the order of the tasks.
    pub ordered: bool,
    /// The first sequence number that this gateway will see.
    pub first: Sequence,
}

/// A gateway's claim on a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerOpen {
    /// Which worker.
    pub worker: WorkerId,
}
