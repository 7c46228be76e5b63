//! The state alone: nothing over capacity, nothing shared that is kept, nothing where no work is taken.

use std::collections::BTreeSet;

use skein_core::capability::Device;
use skein_core::health::{Ending, Phase};
use skein_core::session::{Hold, Session};
use skein_core::state::Node;
use skein_core::worker::{Duty, Worker};
use skein_core::{Millis, NodeId, SessionId, State, WorkerId};

use super::mesh::{Mesh, Sum, is_shared, runs, target};

pub(in crate::control) fn violations(state: &State) -> Vec<String> {
    let mesh = Mesh::of(state, Millis(0));
    let mut found = Vec::new();
    for (id, node) in &state.nodes {
        capacity(*id, node, mesh.on(*id), &mut found);
        for (at, (worker_id, worker)) in mesh.on(*id).iter().enumerate() {
            stands(state, node, *worker_id, worker, &mut found);
            together(state, (*worker_id, worker), &mesh.on(*id)[at + 1..], &mut found);
        }
    }
    for (id, worker) in state.workers.iter().filter(|(_, worker)| !state.nodes.contains_key(&worker.node)) {
        found.push(format!("worker {id} stands on node {}, which never joined", worker.node));
    }
    for (id, session) in &state.sessions {
        let (serving, most) = (mesh.serving(*id), session.spec.fixed.max(session.spec.max));
        if serving > most {
            found.push(format!("session {id} has {serving} of {most} workers"));
        }
        reserved(session, &mut found);
        kept(&mesh, *id, session, &mut found);
    }
    let claims: Vec<u64> = state.sessions.values().filter_map(|session| session.spec.claim).collect();
    if claims.iter().collect::<BTreeSet<_>>().len() < claims.len() {
        found.push(format!("one claim made several sessions: {claims:?}"));
    }
    found
}

fn capacity(id: NodeId, node: &Node, on: &[(WorkerId, &Worker)], found: &mut Vec<String>) {
    let capability = &node.spec.capability;
    let taken = Sum::of(on.iter().map(|(_, worker)| &worker.need));
    if !taken.fits_node(&capability.offers) {
        found.push(format!("node {id} is over its capacity: {taken:?} of {:?}", capability.offers));
    }
    for Device { name, offers, .. } in &capability.devices {
        let taken = Sum::of(on.iter().filter(|(_, worker)| worker.device == *name).map(|(_, worker)| &worker.need));
        if !taken.fits_device(offers) {
            found.push(format!("'{name}' of node {id} is over its capacity: {taken:?} of {offers:?}"));
        }
    }
}

/// Where a worker stands, there is a device that runs it and takes work; or lets it finish.
fn stands(state: &State, node: &Node, id: WorkerId, worker: &Worker, found: &mut Vec<String>) {
    let Some(session) = state.sessions.get(&worker.session) else {
        return found.push(format!("worker {id} serves a session that is over"));
    };
    let device = node.spec.capability.devices.iter().find(|device| device.name == worker.device);
    if !node.up || !device.is_some_and(|device| runs(session, node, device)) {
        found.push(format!("worker {id} stands on '{}' of {}, which cannot run it", worker.device, worker.node));
    }
    let health = node.devices.get(&worker.device);
    if health.is_some_and(|health| matches!(health.phase, Phase::Quarantined { .. } | Phase::Testing { .. })) {
        found.push(format!("worker {id} stands on '{}', which is in quarantine", worker.device));
    }
    let leaves = matches!(worker.duty, Duty::Leaving { .. });
    for block in [node.block.as_ref(), health.and_then(|health| health.block.as_ref())].into_iter().flatten() {
        if block.ending == Ending::AtOnce || !leaves {
            found.push(format!("worker {id} stands where it is blocked: {block:?}"));
        }
    }
    if let Hold::Named { node, device } = &session.hold
        && (worker.node != *node || worker.device != *device)
    {
        found.push(format!("worker {id} does not stand where its session is bound"));
    }
}

fn together(state: &State, (id, worker): (WorkerId, &Worker), rest: &[(WorkerId, &Worker)], found: &mut Vec<String>) {
    let hold = |worker: &Worker| state.sessions.get(&worker.session).map(|session| &session.hold);
    let Some(own) = hold(worker) else { return };
    for (other, their) in rest {
        if is_shared(worker.session, own, their.session, hold(their), worker.device == their.device) {
            found.push(format!("workers {id} and {other} share what one of them should have alone"));
        }
    }
}

/// What a session keeps after its worker there is gone is for as many as it lacks, and shared with nobody.
fn kept(mesh: &Mesh, id: SessionId, session: &Session, found: &mut Vec<String>) {
    if session.kept.len() > target(session).saturating_sub(mesh.serving(id)) as usize {
        found.push(format!("session {id} keeps {:?}, and wants no more", session.kept));
    }
    for (node, device) in &session.kept {
        let stands = |(_, worker): &&(WorkerId, &Worker)| {
            let same = worker.device == *device;
            worker.session != id && is_shared(id, &session.hold, worker.session, None, same)
        };
        if let Some((worker, _)) = mesh.on(*node).iter().find(stands) {
            found.push(format!("worker {worker} stands on '{device}' of {node}, which session {id} keeps"));
        }
    }
}

fn reserved(session: &Session, found: &mut Vec<String>) {
    let (need, most) = (&session.spec.need, session.spec.need_max.as_ref().unwrap_or(&session.spec.need));
    let given = &session.reserved;
    let within = need.cpu_millicores <= given.cpu_millicores
        && given.cpu_millicores <= most.cpu_millicores
        && need.memory_bytes <= given.memory_bytes
        && given.memory_bytes <= most.memory_bytes
        && need.gpu_milli <= given.gpu_milli
        && given.gpu_milli <= most.gpu_milli;
    if !within {
        found.push(format!("a session reserves {given:?} between {need:?} and {most:?}"));
    }
}
