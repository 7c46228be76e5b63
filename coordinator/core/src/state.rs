//! The replicated state: what every seat holds the same.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::capability::{Device, NodeSpec};
use crate::durable::Durable;
use crate::event::Numbered;
use crate::health::{Block, DeviceHealth};
use crate::ids::{MeshId, NodeId, SessionId, WorkerId};
use crate::model::{ModelQuery, ModelRef, ModelSpec};
use crate::policy::PolicyName;
use crate::resources::Resources;
use crate::seats::Agreed;
use crate::session::Session;
use crate::time::Millis;
use crate::worker::Worker;
use index::Index;

pub mod index;
mod kept;
mod stored;

/// The most nodes that may join: ten times the largest mesh we plan for.
pub const NODES_MAX: usize = 100_000;
/// The most sessions open at once.
pub const SESSIONS_MAX: usize = 100_000;
/// The most model versions.
pub const MODELS_MAX: usize = 10_000;
/// Events that are kept, newest last: what a person reads back, not an archive.
pub const HISTORY_MAX: usize = 512;

/// Everything the mesh has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "stored::Stored")]
pub struct State {
    /// Which mesh this is; none until it is founded.
    pub mesh: Option<MeshId>,
    /// The rules by which sessions are ordered, and those of a session that names none.
    pub policy: PolicyName,
    /// What was agreed on about who votes.
    pub seats: Agreed,
    /// Everyone who joined.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Every model version, newest last within its name.
    pub models: BTreeMap<ModelRef, ModelSpec>,
    /// Open sessions.
    pub sessions: BTreeMap<SessionId, Session>,
    /// The plan: the workers that should exist.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Durable tasks: what the mesh has promised to do.
    pub durable: Durable,
    /// The number of the last report of each node that was cut off.
    pub island_reports: BTreeMap<NodeId, u64>,
    /// The id that the next session gets is one more.
    pub last_session: SessionId,
    /// The id that the next worker gets is one more.
    pub last_worker: WorkerId,
    /// The number that the next event gets is one more.
    pub last_event: u64,
    /// The last [`HISTORY_MAX`] events, oldest first.
    pub history: VecDeque<Numbered>,
    /// What follows from the rest, kept so that nobody has to look through all of it.
    #[serde(skip)]
    index: Index,
}

/// A node that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it says of itself.
    pub spec: NodeSpec,
    /// Whether the leader hears it.
    pub up: bool,
    /// When `up` last changed, since the Unix epoch.
    pub since: Millis,
    /// How often it went down of late: see [`flaps`](crate::liveness::flaps).
    #[serde(default)]
    pub flaps: u32,
    /// Out of placement as a whole.
    pub block: Option<Block>,
    /// What is noteworthy of its devices; a device that is not here is sound.
    pub devices: BTreeMap<String, DeviceHealth>,
}

impl Node {
    /// Whether work may be placed on a device of it, as far as the node's and the device's health go.
    pub fn is_usable(&self, device: &str) -> bool {
        self.up && self.block.is_none() && self.devices.get(device).is_none_or(DeviceHealth::is_usable)
    }

    /// By when what runs on a device has to be gone, where it or the node is drained: both may be, and the earlier counts.
    pub fn drained_until(&self, device: &str) -> Option<Millis> {
        let blocks = [self.block.as_ref(), self.devices.get(device).and_then(|health| health.block.as_ref())];
        blocks.into_iter().flatten().filter_map(|block| block.ending.until(block.since)).min()
    }
}

impl State {
    /// The workers of one session, whatever they are there for.
    pub fn workers_of(&self, session: SessionId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.index.session(session).into_iter().flat_map(|held| self.named(held.workers()))
    }

    /// The workers of one node, whatever they are there for.
    pub fn workers_on(&self, node: NodeId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.index.node(node).into_iter().flat_map(|held| self.named(held.workers()))
    }

    fn named(&self, ids: impl Iterator<Item = WorkerId>) -> impl Iterator<Item = (WorkerId, &Worker)> {
        ids.filter_map(|id| Some((id, self.workers.get(&id)?)))
    }

    /// Workers whose time to leave is over, the first to go first.
    pub fn overdue(&self, now: Millis) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let leaving = self.named(self.index.leaving().map(|(_, id)| id));
        leaving.filter(move |(_, worker)| worker.is_overdue(now, self.grace_of(worker)))
    }

    /// How long a worker that has to leave may go on.
    pub(crate) fn grace_of(&self, worker: &Worker) -> Millis {
        self.sessions.get(&worker.session).map_or(Millis(0), |session| session.spec.grace)
    }

    /// What the workers planned on a node take of it.
    pub fn used_on(&self, node: NodeId) -> Resources {
        self.index.node(node).map(|held| held.used().clone()).unwrap_or_default()
    }

    /// What the workers planned on a device take: of the node, its own part; of the GPU, all.
    pub fn used(&self, node: NodeId, device: &str) -> Resources {
        self.index.node(node).map(|held| held.used_of(device)).unwrap_or_default()
    }

    /// What is left at a place: of the node's processor, memory and named things, and of the device's GPU.
    pub fn room(&self, node: &Node, device: &Device) -> Resources {
        let left = node.spec.capability.offers.minus(&self.used_on(node.spec.id));
        left.at(&device.offers.minus(&self.used(node.spec.id, &device.name)))
    }

    /// The version of a model that a person means.
    pub fn find_model(&self, query: &ModelQuery) -> Option<(&ModelRef, &ModelSpec)> {
        let mut versions = self.models.iter().filter(|(model, _)| model.name == query.name);
        match query.version {
            Some(version) => versions.find(|(model, _)| model.version == version),
            None => versions.next_back(),
        }
    }

    /// What follows from the rest.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// A worker enters the plan.
    pub(crate) fn insert_worker(&mut self, id: WorkerId, worker: Worker) {
        self.index.enter(id, &worker);
        self.workers.insert(id, worker);
    }

    /// A worker leaves the plan.
    pub(crate) fn take_worker(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        self.index.leave(id, &worker);
        Some(worker)
    }

    /// Something of a worker changes.
    pub(crate) fn change_worker(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.index.leave(id, worker);
            change(worker);
            self.index.enter(id, worker);
        }
    }

    /// Something of a node changes, or of what stands on it.
    pub(crate) fn touch(&mut self, node: NodeId) {
        let is_ailing = self.nodes.get(&node).is_some_and(|node| !node.devices.is_empty());
        self.index.touch(node, is_ailing);
    }
}
