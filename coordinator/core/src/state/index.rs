//! What follows from the state: who stands where, and what is taken. Every change of a worker or a node keeps it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::ids::{NodeId, SessionId, WorkerId};
use crate::resources::Resources;
use crate::session::Session;
use crate::state::Node;
use crate::time::Millis;
use crate::worker::{Duty, Worker};

/// What follows from nodes and workers.
#[derive(Clone, Debug, Default)]
pub struct Index {
    sessions: BTreeMap<SessionId, SessionUse>,
    nodes: BTreeMap<NodeId, NodeUse>,
    /// Workers that have to leave, the first to go first.
    leaving: BTreeSet<(Millis, WorkerId)>,
    /// Nodes with something to note of a device.
    ailing: BTreeSet<NodeId>,
    /// By node, the sessions that keep a device of it without a worker there.
    kept: BTreeMap<NodeId, BTreeSet<(SessionId, String)>>,
    /// Counts every change of a node or of what stands on one.
    revision: u64,
}

/// What a session has.
#[derive(Clone, Debug, Default)]
pub struct SessionUse {
    workers: BTreeSet<WorkerId>,
    serving: u32,
    warm: BTreeSet<WorkerId>,
}

/// What stands on a node.
#[derive(Clone, Debug, Default)]
pub struct NodeUse {
    revision: u64,
    workers: BTreeSet<WorkerId>,
    used: Resources,
    devices: BTreeMap<String, Resources>,
}

impl Index {
    pub(super) fn of(
        nodes: &BTreeMap<NodeId, Node>,
        sessions: &BTreeMap<SessionId, Session>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) -> Self {
        let mut index = Self::default();
        for (id, session) in sessions {
            session.kept.iter().for_each(|place| index.keep(*id, place));
        }
        for (id, node) in nodes {
            index.touch(*id, !node.devices.is_empty());
        }
        for (id, worker) in workers {
            index.enter(*id, worker);
        }
        index
    }

    /// What a session has; none where it has no worker.
    pub fn session(&self, id: SessionId) -> Option<&SessionUse> {
        self.sessions.get(&id)
    }

    /// What stands on a node; none where nothing ever did.
    pub fn node(&self, id: NodeId) -> Option<&NodeUse> {
        self.nodes.get(&id)
    }

    /// All nodes with what stands on them, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeUse)> {
        self.nodes.iter().map(|(id, held)| (*id, held))
    }

    /// How many workers of a session take tasks, or will once they are ready.
    pub fn serving(&self, session: SessionId) -> u32 {
        self.sessions.get(&session).map_or(0, |held| held.serving)
    }

    /// Workers that have to leave and when, the first to go first.
    pub fn leaving(&self) -> impl Iterator<Item = (Millis, WorkerId)> {
        self.leaving.iter().copied()
    }

    /// Nodes with something to note of a device.
    pub fn ailing(&self) -> impl Iterator<Item = NodeId> {
        self.ailing.iter().copied()
    }

    /// Rises with every change of a node or of what stands on one.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether it says what these nodes and workers say.
    pub(crate) fn agrees_with(
        &self,
        nodes: &BTreeMap<NodeId, Node>,
        sessions: &BTreeMap<SessionId, Session>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) -> bool {
        let fresh = Self::of(nodes, sessions, workers);
        let same_sessions = self.sessions.len() == fresh.sessions.len()
            && self.sessions.iter().zip(&fresh.sessions).all(|((id, held), (other, fresh))| {
                id == other && (&held.workers, held.serving, &held.warm) == (&fresh.workers, fresh.serving, &fresh.warm)
            });
        let same_nodes = self.nodes.len() == fresh.nodes.len()
            && self.nodes.iter().zip(&fresh.nodes).all(|((id, held), (other, fresh))| {
                id == other
                    && (&held.workers, &held.used, &held.devices) == (&fresh.workers, &fresh.used, &fresh.devices)
            });
        let same_lists = self.leaving == fresh.leaving && self.ailing == fresh.ailing && self.kept == fresh.kept;
        same_sessions && same_nodes && same_lists
    }

    pub(super) fn enter(&mut self, id: WorkerId, worker: &Worker) {
        let held = self.sessions.entry(worker.session).or_default();
        held.workers.insert(id);
        match worker.duty {
            Duty::Serving => held.serving += 1,
            Duty::Warm => drop(held.warm.insert(id)),
            Duty::Leaving { until, .. } => drop(self.leaving.insert((until, id))),
        }
        let held = self.changed(worker.node);
        held.workers.insert(id);
        held.used.add(&worker.need);
        if let Some(used) = held.devices.get_mut(&worker.device) {
            used.add(&worker.need);
        } else {
            held.devices.insert(worker.device.clone(), worker.need.clone());
        }
    }

    pub(super) fn leave(&mut self, id: WorkerId, worker: &Worker) {
        if let Some(held) = self.sessions.get_mut(&worker.session) {
            held.workers.remove(&id);
            match worker.duty {
                Duty::Serving => held.serving -= 1,
                Duty::Warm => drop(held.warm.remove(&id)),
                Duty::Leaving { until, .. } => drop(self.leaving.remove(&(until, id))),
            }
            if held.workers.is_empty() {
                self.sessions.remove(&worker.session);
            }
        }
        let held = self.changed(worker.node);
        held.workers.remove(&id);
        held.used.subtract(&worker.need);
        if let Some(used) = held.devices.get_mut(&worker.device) {
            used.subtract(&worker.need);
            // Every worker needs some processor, so nothing used is nobody there.
            if *used == Resources::default() {
                held.devices.remove(&worker.device);
            }
        }
    }

    /// Sessions that keep a device of a node without a worker there.
    pub(super) fn kept_on(&self, node: NodeId) -> impl Iterator<Item = &(SessionId, String)> {
        self.kept.get(&node).into_iter().flatten()
    }

    pub(super) fn keep(&mut self, id: SessionId, (node, device): &(NodeId, String)) {
        self.kept.entry(*node).or_default().insert((id, device.clone()));
        self.changed(*node);
    }

    pub(super) fn release(&mut self, id: SessionId, (node, device): &(NodeId, String)) {
        if let Some(kept) = self.kept.get_mut(node) {
            kept.remove(&(id, device.clone()));
            if kept.is_empty() {
                self.kept.remove(node);
            }
        }
        self.changed(*node);
    }

    pub(super) fn touch(&mut self, node: NodeId, is_ailing: bool) {
        self.changed(node);
        if is_ailing {
            self.ailing.insert(node);
        } else {
            self.ailing.remove(&node);
        }
    }

    fn changed(&mut self, node: NodeId) -> &mut NodeUse {
        self.revision += 1;
        let held = self.nodes.entry(node).or_default();
        held.revision = self.revision;
        held
    }
}

/// It follows from the rest, so it makes no difference of its own; its count of changes differs from replica to replica.
impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Index {}

impl SessionUse {
    /// All its workers.
    pub fn workers(&self) -> impl DoubleEndedIterator<Item = WorkerId> {
        self.workers.iter().copied()
    }

    /// Workers it gave back that are still loaded.
    pub fn warm(&self) -> impl Iterator<Item = WorkerId> {
        self.warm.iter().copied()
    }
}

impl NodeUse {
    /// The count of changes when it last changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// All workers on it.
    pub fn workers(&self) -> impl DoubleEndedIterator<Item = WorkerId> {
        self.workers.iter().copied()
    }

    /// What they take in all.
    pub fn used(&self) -> &Resources {
        &self.used
    }

    /// What those on one device take.
    pub fn used_of(&self, device: &str) -> Resources {
        self.devices.get(device).cloned().unwrap_or_default()
    }
}
