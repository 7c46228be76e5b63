//! The control API: one set of typed requests and answers, whoever asks.
//!
//! The command line speaks it as CBOR over `skein/1`. A rule or a check is written once, in [`handle`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skein_core::model::{ModelRef, ModelSpec};
use skein_core::session::{Failure, SessionSpec};
use skein_core::worker::{WorkerReport, WorkerStatus};
use skein_core::{MeshId, NodeId, Refusal, Resources, SessionId, WorkerId, capability::NodeSpec};
use skein_targets::TensorSpec;
use thiserror::Error;

pub mod handle;
mod status;

/// What can be asked of any agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Every node of the mesh, and who votes and leads.
    NodeStatus,
    /// Every model.
    ModelList,
    /// Every open session, or one.
    SessionStatus(Option<SessionId>),
    /// Something that the leader commits.
    Change(Change),
}

/// What the leader commits; an agent that does not lead passes it on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A node joins or states itself anew.
    Join(NodeSpec),
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
}

/// What comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::NodeStatus`].
    Nodes(MeshStatus),
    /// To [`Request::ModelList`].
    Models(Vec<ModelStatus>),
    /// To [`Request::SessionStatus`].
    Sessions(Vec<SessionStatus>),
    /// To [`Change::Join`] and [`Change::WorkerReport`].
    Done,
    /// A model can be used.
    Model(ModelAdded),
    /// To [`Change::SessionCreate`].
    Created(SessionId),
    /// To [`Change::SessionEnd`].
    Ended(SessionId),
}

/// A model that was taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelAdded {
    /// Its name and version.
    pub model: ModelRef,
    /// Whether the same content was there under that name already.
    pub known: bool,
    /// What it takes, as the check found it; empty when it was added by another agent's word.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// The mesh as one agent knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MeshStatus {
    /// Which mesh; none while the agent looks for one.
    pub mesh: Option<MeshId>,
    /// Who was asked.
    pub asked: NodeId,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The leader's term.
    pub term: u64,
    /// Every node that joined.
    pub nodes: Vec<NodeStatus>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Who.
    pub node: NodeId,
    /// For people.
    pub name: String,
    /// `host:port` of its QUIC endpoint.
    pub address: String,
    /// Version of its binary.
    pub version: String,
    /// Whether the leader hears it.
    pub up: bool,
    /// Its part in the coordinator.
    pub seat: SeatStatus,
    /// Its devices.
    pub devices: Vec<DeviceStatus>,
    /// What its operator says of it.
    pub labels: BTreeMap<String, String>,
    /// How many workers the plan gives it.
    pub workers: usize,
}

/// A node's part in the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeatStatus {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It follows the log without a vote.
    Learner,
    /// It has no seat yet.
    None,
}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its name on its node.
    pub name: String,
    /// What it offers.
    pub offers: Resources,
    /// What the plan takes of that.
    pub used: Resources,
}

/// One model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Its name and version.
    pub model: ModelRef,
    /// SHA-256 of its graph, in hexadecimal.
    pub digest: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Open sessions that use it.
    pub sessions: usize,
}

/// One session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Which.
    pub session: SessionId,
    /// Its model.
    pub model: ModelRef,
    /// How the model is run.
    pub target: String,
    /// Workers it asks for.
    pub fixed: u32,
    /// What one of them needs.
    pub need: Resources,
    /// The workers it has.
    pub workers: Vec<WorkerEntry>,
    /// Where its workers failed of late, and why.
    pub failures: Vec<(NodeId, Failure)>,
    /// Why it lacks workers, where it does: one reason a node.
    pub waiting_for: Vec<String>,
}

/// One worker of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// Which.
    pub worker: WorkerId,
    /// Where.
    pub node: NodeId,
    /// The node's name.
    pub node_name: String,
    /// On which device.
    pub device: String,
    /// How far it is.
    pub status: WorkerStatus,
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
