//! What an agent's replica shows, put in the API's words.

use skein_core::model::ModelRef;
use skein_core::plan::feasible;
use skein_core::session::Session;
use skein_core::state::Node;
use skein_core::{Millis, NodeId, SessionId, State};
use skein_raft::Role;

use crate::api::{DeviceStatus, MeshStatus, ModelStatus, NodeStatus, SeatStatus, SessionStatus, WorkerEntry};

pub(super) fn mesh(state: &State, asked: NodeId, role: &Role) -> MeshStatus {
    let nodes = state.nodes.iter().map(|(id, node)| self::node(state, *id, node, role)).collect();
    MeshStatus { mesh: state.mesh, asked, leader: role.leader, term: role.term, nodes }
}

fn node(state: &State, id: NodeId, node: &Node, role: &Role) -> NodeStatus {
    let spec = &node.spec;
    let devices = spec.capability.devices.iter().map(|device| DeviceStatus {
        name: device.name.clone(),
        offers: device.offers,
        used: state.used(id, &device.name),
    });
    NodeStatus {
        node: id,
        name: spec.name.clone(),
        address: spec.address.clone(),
        version: spec.version.clone(),
        up: node.up,
        seat: seat(id, role),
        devices: devices.collect(),
        labels: spec.capability.labels.clone(),
        workers: state.workers.values().filter(|worker| worker.node == id).count(),
    }
}

fn seat(id: NodeId, role: &Role) -> SeatStatus {
    if role.leader == Some(id) {
        SeatStatus::Leader
    } else if role.voters.contains(&id) {
        SeatStatus::Voter
    } else if role.learners.contains(&id) {
        SeatStatus::Learner
    } else {
        SeatStatus::None
    }
}

pub(super) fn models(state: &State) -> Vec<ModelStatus> {
    let using = |model: &ModelRef| state.sessions.values().filter(|session| session.model == *model).count();
    let status = state.models.iter().map(|(model, spec)| ModelStatus {
        model: model.clone(),
        digest: spec.file.digest.to_string(),
        size: spec.blobs().iter().map(|blob| blob.size).sum(),
        sessions: using(model),
    });
    status.collect()
}

pub(super) fn sessions(state: &State, now: Millis) -> Vec<SessionStatus> {
    state.sessions.iter().map(|(id, session)| describe(state, now, *id, session)).collect()
}

pub(super) fn session(state: &State, now: Millis, id: SessionId) -> Option<SessionStatus> {
    state.sessions.get(&id).map(|session| describe(state, now, id, session))
}

fn describe(state: &State, now: Millis, id: SessionId, session: &Session) -> SessionStatus {
    let name = |node: &NodeId| state.nodes.get(node).map_or_else(|| node.to_string(), |node| node.spec.name.clone());
    let workers: Vec<WorkerEntry> = state
        .workers_of(id)
        .map(|(worker, planned)| WorkerEntry {
            worker,
            node: planned.node,
            node_name: name(&planned.node),
            device: planned.device.clone(),
            status: planned.status,
        })
        .collect();
    let lacks = workers.len() < session.fixed as usize;
    SessionStatus {
        session: id,
        model: session.model.clone(),
        target: session.target.clone(),
        fixed: session.fixed,
        need: session.need,
        workers,
        failures: session.failures.iter().map(|(node, failure)| (*node, failure.clone())).collect(),
        waiting_for: if lacks { feasible::obstacles(state, now, session) } else { Vec::new() },
    }
}
