//! The replicated state: what every seat holds the same.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capability::{Device, NodeSpec};
use crate::ids::{MeshId, NodeId, SessionId, WorkerId};
use crate::model::{ModelQuery, ModelRef, ModelSpec};
use crate::resources::Resources;
use crate::session::Session;
use crate::time::Millis;
use crate::worker::Worker;

/// Everything the mesh has agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which mesh this is; none until it is founded.
    pub mesh: Option<MeshId>,
    /// Everyone who joined.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Every model version, newest last within its name.
    pub models: BTreeMap<ModelRef, ModelSpec>,
    /// Open sessions.
    pub sessions: BTreeMap<SessionId, Session>,
    /// The plan: the workers that should exist.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// The id that the next session gets is one more.
    pub last_session: SessionId,
    /// The id that the next worker gets is one more.
    pub last_worker: WorkerId,
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
}

impl State {
    /// The workers of one session.
    pub fn workers_of(&self, session: SessionId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().filter(move |(_, worker)| worker.session == session).map(|(id, worker)| (*id, worker))
    }

    /// What the workers planned on a device take of it.
    pub fn used(&self, node: NodeId, device: &str) -> Resources {
        let on_device = self.workers.values().filter(|worker| worker.node == node && worker.device == device);
        on_device.fold(Resources::default(), |sum, worker| sum.plus(&worker.need))
    }

    /// What a device has left.
    pub fn room(&self, node: NodeId, device: &Device) -> Resources {
        device.offers.minus(&self.used(node, &device.name))
    }

    /// The version of a model that a person means.
    pub fn find_model(&self, query: &ModelQuery) -> Option<(&ModelRef, &ModelSpec)> {
        let mut versions = self.models.iter().filter(|(model, _)| model.name == query.name);
        match query.version {
            Some(version) => versions.find(|(model, _)| model.version == version),
            None => versions.next_back(),
        }
    }
}
