//! Nodes come, go, and state themselves anew.

mod news;

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::apply::{full, workers};
use crate::capability::NodeSpec;
use crate::command::Refusal;
use crate::event::Event;
use crate::ids::{NodeId, WorkerId};
use crate::liveness;
use crate::plan::feasible;
use crate::state::{NODES_MAX, Node, State};
use crate::time::Millis;
use crate::worker::{Duty, Worker};

pub(super) fn join(state: &mut State, at: Millis, spec: &NodeSpec) -> Result<Vec<Event>, Refusal> {
    if !spec.within_bounds() {
        return Err(Refusal::NodeOutOfBounds);
    }
    let count = state.nodes.len();
    let reason = match state.nodes.get_mut(&spec.id) {
        Some(known) => {
            let reason = news::of(&known.spec, spec);
            // Whether it is up is left to the leader's ears: what is said of a node, and its beats, may take different ways, and one
            // that flaps would get round its damping.
            known.spec = spec.clone();
            // What was said of a device that is no longer there, says nothing of one that may come under its name.
            let capability = &known.spec.capability;
            known.devices.retain(|name, _| capability.device(name).is_some());
            state.release_missing(spec);
            reason
        }
        None if count >= NODES_MAX => return Err(full("nodes", NODES_MAX)),
        None => {
            let node = Node { spec: spec.clone(), up: true, since: at, flaps: 0, block: None, devices: [].into() };
            state.nodes.insert(spec.id, node);
            "it is new to the mesh".into()
        }
    };
    state.touch(spec.id);
    // A node may come back with less than it had: what can no longer stand there leaves the plan, the cheapest first.
    let mut events = vec![Event::NodeJoined { node: spec.id, reason }];
    while let Some(worker) = first_that_cannot_stand(state, spec) {
        events.extend(workers::remove(state, at, worker, "its node now offers less"));
    }
    Ok(events)
}

fn first_that_cannot_stand(state: &State, spec: &NodeSpec) -> Option<WorkerId> {
    let capability = &spec.capability;
    let unable = state.workers_on(spec.id).find(|(_, worker)| {
        let session = state.sessions.get(&worker.session);
        let device = capability.device(&worker.device);
        !session.zip(device).is_some_and(|(session, device)| feasible::can_run(capability, device, session))
    });
    unable.map(|(id, _)| id).or_else(|| first_to_leave(state, spec))
}

/// Where a node or a device is over what it offers by now, the cheapest of those that have a part in it; among equals one
/// whose room alone will do.
fn first_to_leave(state: &State, spec: &NodeSpec) -> Option<WorkerId> {
    let capability = &spec.capability;
    let node_over = state.used_on(spec.id).minus(&capability.offers);
    let over = |worker: &Worker| {
        let device = capability.device(&worker.device).map(|device| device.offers.clone()).unwrap_or_default();
        node_over.at(&state.used(spec.id, &worker.device).minus(&device))
    };
    let has_part = |worker: &Worker| {
        let over = over(worker);
        over.minus(&worker.need) != over
    };
    let candidates = state.workers_on(spec.id).filter(|(_, worker)| has_part(worker));
    let cost = |(id, worker): &(WorkerId, &Worker)| {
        let is_too_little = !over(worker).fits(&worker.need);
        (order_of_leaving(state, worker), is_too_little, worker.at_stake, Reverse(*id))
    };
    candidates.min_by_key(cost).map(|(id, _)| id)
}

/// Those that are only kept warm, then those that go anyway and may still be busy, then by priority.
fn order_of_leaving(state: &State, worker: &Worker) -> (u8, u8) {
    let duty = match worker.duty {
        Duty::Warm => 0,
        Duty::Leaving { .. } => 1,
        Duty::Serving => 2,
    };
    (duty, state.sessions.get(&worker.session).map_or(0, |session| session.spec.priority))
}

pub(super) fn down(state: &mut State, at: Millis, node: NodeId) -> Result<Vec<Event>, Refusal> {
    let known = state.nodes.get_mut(&node).ok_or(Refusal::NoNode(node))?;
    if !known.up {
        return Ok(vec![]);
    }
    known.flaps = liveness::flaps(known.flaps, at.since(known.since));
    known.up = false;
    known.since = at;
    state.touch(node);
    let mut events = vec![Event::NodeDown(node)];
    let gone: Vec<WorkerId> = state.workers_on(node).map(|(id, _)| id).collect();
    events.extend(workers::remove_all(state, at, gone, "its node is down"));
    Ok(events)
}

pub(super) fn up(state: &mut State, at: Millis, node: NodeId) -> Result<Vec<Event>, Refusal> {
    let known = state.nodes.get_mut(&node).ok_or(Refusal::NoNode(node))?;
    if known.up {
        return Ok(vec![]);
    }
    known.up = true;
    known.since = at;
    state.touch(node);
    Ok(vec![Event::NodeUp(node)])
}
