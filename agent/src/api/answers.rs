//! What requests are answered with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skein_core::capability::{DeviceKind, Heat, Profile};
use skein_core::dispatch::events::TaskEvent;
use skein_core::dispatch::retry::Retry;
use skein_core::durable::Account;
use skein_core::event::Numbered;
use skein_core::health::{Block, Phase};
use skein_core::island::IslandAccount;
use skein_core::model::ModelRef;
use skein_core::policy::PolicyName;
use skein_core::session::{Failure, Hold};
use skein_core::worker::{Duty, WorkerStatus};
use skein_core::{MeshId, Millis, NodeId, Resources, SessionId, StreamId, WorkerId};
use skein_targets::TensorSpec;

use crate::island::waiting::WaitingStatus;
use crate::island::{IslandStatus, SessionIsland};

pub(super) mod coordinator;

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
    /// The policy that orders its sessions.
    pub policy: PolicyName,
    /// How long the one who was asked has been cut off from the mesh, where it is: what follows is as it was then.
    pub island: Option<IslandStatus>,
    /// What waits at the one who was asked until it can be delivered to the mesh.
    pub waiting: WaitingStatus,
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
    /// When `up` last changed, since the Unix epoch.
    pub since: Millis,
    /// How often it went down of late; from the second time on it is held back when it comes back, twice as long each time.
    pub flaps: u32,
    /// Its part in the coordinator.
    pub seat: SeatStatus,
    /// Who took it out of placement as a whole, and why.
    pub block: Option<Block>,
    /// What it offers in all: processor, memory, named things.
    pub offers: Resources,
    /// What the plan takes of that.
    pub used: Resources,
    /// Its devices.
    pub devices: Vec<DeviceStatus>,
    /// The targets that run there.
    pub targets: Vec<String>,
    /// How fast models were measured to run on it.
    pub profiles: Vec<Profile>,
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
    /// What it is.
    pub kind: DeviceKind,
    /// What hardware it is.
    pub hardware: String,
    /// How hot it is.
    pub heat: Heat,
    /// What it offers beside its node: thousandths of a GPU or stick, and its memory.
    pub offers: Resources,
    /// What the workers on it take, of the device and of its node.
    pub used: Resources,
    /// Who took it out of placement, and why.
    pub block: Option<Block>,
    /// How it stands with its faults.
    pub phase: Phase,
    /// How often it was quarantined since it was last sound.
    pub quarantines: u32,
}

impl DeviceStatus {
    /// See [`skein_core::capability::Device::is_driven`].
    pub fn is_driven(&self) -> bool {
        self.kind == DeviceKind::Cpu || self.offers.gpu_milli > 0
    }
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

/// One model, tried on the asked node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelShown {
    /// Its name and version.
    pub model: ModelRef,
    /// SHA-256 of its graph, in hexadecimal.
    pub digest: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Open sessions that use it.
    pub sessions: usize,
    /// Its manifest, in TOML.
    pub manifest: String,
    /// What it takes, as the first target that runs it found; empty where none does.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
    /// Each target of the asked node.
    pub runs: Vec<ModelRun>,
}

/// Whether a target runs a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelRun {
    /// By name.
    pub target: String,
    /// Why it does not; none where it does.
    pub error: Option<String>,
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
    /// Workers it should always have.
    pub fixed: u32,
    /// The most it may have with its share.
    pub max: u32,
    /// Its part of what is spare.
    pub share: u32,
    /// 0 to 100; higher goes first, where the policy looks at it.
    pub priority: u8,
    /// The policy it is placed by.
    pub policy: PolicyName,
    /// What of the places where it stands it keeps to itself.
    pub hold: Hold,
    /// How often and where a failed task of it is tried again.
    pub retry: Retry,
    /// How long a worker of it that has to leave may go on.
    pub grace: Millis,
    /// How long a worker may be at one task before it counts as hung.
    pub task_time: Millis,
    /// How long a node that has lost the mesh goes on with it; `u64::MAX` is for ever.
    pub offline: Millis,
    /// What one worker needs at the least.
    pub need: Resources,
    /// Up to what that may grow with its measured use; none where it does not.
    pub need_max: Option<Resources>,
    /// What one worker is given now.
    pub reserved: Resources,
    /// How many workers its pending tasks could keep busy.
    pub wanted: u32,
    /// How many workers take tasks, or will once they are ready.
    pub serving: u32,
    /// Workers that were taken from it for a higher priority, and not yet made up for.
    pub evicted: u32,
    /// Since when it has fewer than its fixed workers; none while it has them.
    pub lacking_since: Option<Millis>,
    /// The workers it has, whatever they are there for.
    pub workers: Vec<WorkerEntry>,
    /// Where its workers failed of late, and why.
    pub failures: Vec<(NodeId, Failure)>,
    /// Why it lacks fixed workers, where it does: at most 20 places with a reason each. This and what follows is told only
    /// where one session is shown.
    pub waiting_for: Vec<String>,
    /// How many sessions that lack workers come before it, where it lacks some.
    pub before_it: Option<u32>,
    /// Why no node could ever hold a worker of it, where that is so.
    pub never_fits: Option<String>,
    /// What nodes did for it that were cut off from the mesh, as far as they have come back.
    pub islands: IslandAccount,
    /// How it stands at the agent that was asked, where that is cut off from the mesh.
    pub island: Option<SessionIsland>,
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
    /// What it is there for.
    pub duty: Duty,
    /// What it is given.
    pub given: Resources,
    /// Work that would be lost with it.
    pub at_stake: Millis,
}

/// One stream of durable tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Which.
    pub stream: StreamId,
    /// Whose workers it uses.
    pub session: SessionId,
    /// The gateway that runs its tasks.
    pub gateway: NodeId,
    /// Its name.
    pub gateway_name: String,
    /// How many gateways have had it.
    pub tenure: u32,
    /// Tasks without an end.
    pub pending: usize,
    /// Those of them that were begun and go on from a checkpoint, wherever they run next.
    pub checkpointed: usize,
    /// Ends that were not fetched.
    pub kept: usize,
    /// The account of all its tasks.
    #[serde(flatten)]
    pub account: Account,
    /// When it will be forgotten if nobody touches it, since the Unix epoch; none while something is pending.
    pub expires: Option<Millis>,
}

/// Some of what happened to the tasks of a session at one gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskEventPage {
    /// Whose gateway.
    pub gateway: NodeId,
    /// The oldest first.
    pub events: Vec<TaskEvent>,
    /// The number of the last event there is; 0 where no task of the session came through this gateway.
    pub last: u64,
}

/// Some of what happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventPage {
    /// The oldest first.
    pub events: Vec<Numbered>,
    /// The number of the last event there is.
    pub last: u64,
}
