//! What can be asked of the replicated state, and why it may say no.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::NodeSpec;
use crate::durable::TaskCommand;
use crate::health::{Author, DeviceReport, Ending};
use crate::ids::{MeshId, NodeId, SessionId, StreamId, WorkerId};
use crate::island::IslandReport;
use crate::model::{ModelQuery, ModelSpec};
use crate::plan::Plan;
use crate::policy::PolicyName;
use crate::resources::Resources;
use crate::seats::{REPLACE_AFTER_MAX, REPLACE_AFTER_MIN, Rules};
use crate::session::SessionSpec;
use crate::time::Millis;
use crate::worker::WorkerReport;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the leader took it in, since the Unix epoch. Replicas use this and never their own clocks.
    pub at: Millis,
    /// What is asked.
    pub command: Command,
}

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first command of a mesh.
    Found {
        /// Its name from now on.
        mesh: MeshId,
    },
    /// A node joins, or states itself anew.
    NodeJoin(NodeSpec),
    /// The leader no longer hears a node.
    NodeDown(NodeId),
    /// The leader hears a node again.
    NodeUp(NodeId),
    /// No more work is to be placed on a node, or on a device of it.
    Block {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
        /// Whose word it is.
        by: Author,
        /// Why, for people; at most [`crate::worker::REASON_BYTES_MAX`] bytes are kept.
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
    /// What a node says of one of its devices.
    DeviceReport {
        /// Who says it.
        node: NodeId,
        /// Of which device.
        device: String,
        /// What.
        report: DeviceReport,
    },
    /// A device has rested: its node should make the known-answer run.
    DeviceTest {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
    },
    /// A device went through its probation.
    DeviceTrust {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
    },
    /// Sessions are ordered by this policy, and new ones that name none are placed by it.
    PolicySet(PolicyName),
    /// How many vote, and when one that is gone is replaced.
    SeatsSet(Rules),
    /// A node gives its vote up, and gets none until it is allowed again.
    SeatEvict(NodeId),
    /// It may vote again.
    SeatAllow(NodeId),
    /// The mesh goes on from the replica of one node, as another mesh: most of its voters were given up. Nobody proposes this:
    /// it is applied to the replica of a node that does not run.
    Recover {
        /// Its name from now on.
        mesh: MeshId,
        /// Whose replica.
        by: NodeId,
    },
    /// A model to serve; the files are already on the node that proposes it.
    ModelAdd(ModelSpec),
    /// A claim on the mesh.
    SessionCreate(SessionSpec),
    /// The claim is given back.
    SessionEnd(SessionId),
    /// How many workers a session's pending tasks could keep busy.
    SessionWant {
        /// Which.
        session: SessionId,
        /// How many.
        workers: u32,
    },
    /// What a session's workers should be given, by their measured use.
    SessionReserve {
        /// Which.
        session: SessionId,
        /// How much each.
        reserved: Resources,
    },
    /// What a node says of one of its workers.
    WorkerReport {
        /// Who says it.
        node: NodeId,
        /// Of which worker.
        worker: WorkerId,
        /// What.
        report: WorkerReport,
    },
    /// What the leader planned; each item is checked again.
    Plan(Plan),
    /// Durable tasks.
    Tasks(TaskCommand),
    /// What a node did while it was cut off from the mesh.
    IslandReport(IslandReport),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// A mesh is founded once.
    AlreadyFounded(MeshId),
    /// A text or list in a node's description is too long, or two of its devices share a name.
    NodeOutOfBounds,
    /// As many are there as may be.
    Full {
        /// Of what.
        what: String,
        /// How many.
        most: usize,
    },
    /// No such node.
    NoNode(NodeId),
    /// The node has no such device.
    NoDevice {
        /// Which node.
        node: NodeId,
        /// The name that was asked for.
        device: String,
        /// The names there are.
        known: alloc::vec::Vec<String>,
    },
    /// Whoever finds a place blocked must find out why.
    NoReason,
    /// It is not blocked.
    NotBlocked(NodeId),
    /// A number of voters, or a time, that cannot be.
    BadRules(Rules),
    /// It was not evicted.
    NotEvicted(NodeId),
    /// The device is not at the point where this could be.
    WrongPhase,
    /// A name that is none.
    BadName(String),
    /// A manifest or file over its bound.
    ModelTooLarge,
    /// Nothing of that name or version.
    NoModel {
        /// What was asked for.
        asked: ModelQuery,
        /// The names there are, for the message; at most ten.
        known: alloc::vec::Vec<String>,
    },
    /// No such session, or no longer.
    NoSession(SessionId),
    /// Numbers of a session that make no sense.
    BadSession(String),
    /// No node could ever hold a worker of the session, and it asked not to wait for one that can.
    NeverFits(String),
    /// The worker is not planned on that node (any more).
    NoWorker(WorkerId),
    /// No such stream of durable tasks, or no longer.
    NoStream(StreamId),
    /// Durable tasks that cannot be.
    BadTasks(String),
    /// A report of an island that cannot be.
    BadReport(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyFounded(mesh) => write!(f, "this mesh is founded already, as {mesh}"),
            Self::NodeOutOfBounds => f.write_str(
                "the node's description is too long, or two devices share a name: shorten its name or labels",
            ),
            Self::Full { what, most } => write!(f, "there are {most} {what} already, and no more may be"),
            Self::NoDevice { node, device, known } => {
                write!(f, "node {node} has no device '{device}'; it has: {}", known.join(", "))
            }
            Self::NoReason => f.write_str("a block needs a reason, for whoever finds the place blocked: give --reason"),
            Self::NotBlocked(node) => {
                write!(f, "it is not blocked on node {node}; `skein node status` shows what is")
            }
            Self::BadRules(Rules { voters, replace_after }) => write!(
                f,
                "{voters} voters, replaced after {replace_after}, cannot be: there may be 3 or 5, replaced after {} s to {} days",
                REPLACE_AFTER_MIN.0 / 1_000,
                REPLACE_AFTER_MAX.0 / 86_400_000
            ),
            Self::NotEvicted(node) => {
                write!(f, "node {node} was not evicted; `skein coordinator status` shows who was")
            }
            Self::WrongPhase => f.write_str("the device is not at the point where this could be said of it"),
            Self::NoNode(node) => {
                write!(f, "no node {node} has joined this mesh; `skein node status` lists those that have")
            }
            Self::BadName(name) => write!(f, "'{name}' cannot be a name: {}", crate::model::NAME_RULE),
            Self::ModelTooLarge => f.write_str("the model is too large: a manifest may have 16 KiB, a file 1 GiB"),
            Self::NoModel { asked, known } if known.is_empty() => {
                write!(f, "there is no model '{asked}', nor any other: add one with `skein model add FILE --name NAME`")
            }
            Self::NoModel { asked, known } => {
                write!(f, "there is no model '{asked}'; there are: {}", known.join(", "))
            }
            Self::NoSession(session) => {
                write!(f, "there is no session {session}; `skein session status` lists the open ones")
            }
            Self::BadSession(why) => write!(f, "the session cannot be: {why}"),
            Self::NeverFits(why) => write!(f, "the mesh could not hold the workers of this session: {why}"),
            Self::NoWorker(worker) => write!(f, "worker {worker} is not in the plan of that node"),
            Self::NoStream(stream) => {
                write!(f, "there is no stream {stream} of durable tasks; `skein task status` lists those that are kept")
            }
            Self::BadReport(why) => write!(f, "the report of a node that was cut off cannot be: {why}"),
            Self::BadTasks(why) => write!(f, "the durable tasks cannot be: {why}"),
        }
    }
}

impl core::error::Error for Refusal {}
