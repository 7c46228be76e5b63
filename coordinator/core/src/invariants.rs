//! What must hold of every state that `apply` can reach.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::Device;
use crate::plan::feasible;
use crate::state::State;
use crate::worker::Worker;

/// Everything that does not hold, in words; empty for a sound state.
pub fn violations(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    workers_stand(state, &mut found);
    devices_hold(state, &mut found);
    sessions_are_not_overfull(state, &mut found);
    found
}

fn workers_stand(state: &State, found: &mut Vec<String>) {
    for (id, worker) in &state.workers {
        if !state.sessions.contains_key(&worker.session) {
            found.push(format!("worker {id} serves session {}, which is not open", worker.session));
        }
        let node = state.nodes.get(&worker.node);
        if !node.is_some_and(|node| node.up) {
            found.push(format!("worker {id} stands on node {}, which is not up", worker.node));
        }
        let capability = node.map(|node| &node.spec.capability);
        match capability.and_then(|capability| capability.device(&worker.device)) {
            None => {
                found.push(format!("worker {id} stands on device '{}', which its node does not have", worker.device));
            }
            Some(device) if !runs_there(state, worker, device) => {
                found.push(format!("worker {id} stands on device '{}', where its target does not run", worker.device));
            }
            Some(_) => {}
        }
        if *id > state.last_worker {
            found.push(format!("worker {id} has an id that was not given out yet"));
        }
    }
}

fn runs_there(state: &State, worker: &Worker, device: &Device) -> bool {
    let session = state.sessions.get(&worker.session);
    let node = state.nodes.get(&worker.node);
    session.zip(node).is_none_or(|(session, node)| feasible::can_run(&node.spec.capability, device, &session.target))
}

fn devices_hold(state: &State, found: &mut Vec<String>) {
    for (id, node) in &state.nodes {
        for device in &node.spec.capability.devices {
            if let Some((dimension, used, offers)) = state.used(*id, &device.name).first_excess(&device.offers) {
                let (used, offers) = (dimension.amount(used), dimension.amount(offers));
                found.push(format!("device '{}' of node {id} is over its capacity: {used} of {offers}", device.name));
            }
        }
    }
}

fn sessions_are_not_overfull(state: &State, found: &mut Vec<String>) {
    for (id, session) in &state.sessions {
        let count = state.workers_of(*id).count();
        if count > session.fixed as usize {
            found.push(format!("session {id} has {count} workers and asked for {}", session.fixed));
        }
        if !state.models.contains_key(&session.model) {
            found.push(format!("session {id} uses model {}, which is not there", session.model));
        }
        if *id > state.last_session {
            found.push(format!("session {id} has an id that was not given out yet"));
        }
    }
}
