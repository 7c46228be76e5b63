//! What must hold of every state that `apply` can reach.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::Device;
use crate::durable::{BYTES_MAX, TASKS_MAX};
use crate::health::Ending;
use crate::ids::WorkerId;
use crate::plan::feasible;
use crate::seats::RECOVERIES_MAX;
use crate::session::Hold;
use crate::state::{HISTORY_MAX, Node, State};
use crate::worker::{Duty, Worker};

/// Everything that does not hold, in words; empty for a sound state. It looks at everything: for tests and the simulator.
pub fn violations(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    workers_stand(state, &mut found);
    nodes_hold(state, &mut found);
    sessions_are_not_overfull(state, &mut found);
    nothing_kept_is_shared(state, &mut found);
    nobody_stands_where_a_place_is_kept(state, &mut found);
    events_are_numbered(state, &mut found);
    durable_tasks_are_accounted_for(state, &mut found);
    seats_are_agreed(state, &mut found);
    if !state.index().agrees_with(&state.nodes, &state.sessions, &state.workers) {
        found.push("the index says something else than the nodes and workers it follows from".into());
    }
    found
}

fn workers_stand(state: &State, found: &mut Vec<String>) {
    for (id, worker) in &state.workers {
        if !state.sessions.contains_key(&worker.session) {
            found.push(format!("worker {id} serves session {}, which is not open", worker.session));
        }
        match state.nodes.get(&worker.node).filter(|node| node.up) {
            None => found.push(format!("worker {id} stands on node {}, which is not up", worker.node)),
            Some(node) => worker_stands_on(state, *id, worker, node, found),
        }
        if *id > state.last_worker {
            found.push(format!("worker {id} has an id that was not given out yet"));
        }
    }
}

fn worker_stands_on(state: &State, id: WorkerId, worker: &Worker, node: &Node, found: &mut Vec<String>) {
    match node.spec.capability.device(&worker.device) {
        None => {
            found.push(format!("worker {id} stands on device '{}', which its node does not have", worker.device));
        }
        Some(device) if !runs_there(state, worker, node, device) => {
            found.push(format!("worker {id} stands on device '{}', where its target does not run", worker.device));
        }
        Some(_) => {}
    }
    let blocks = [&node.block, &node.devices.get(&worker.device).and_then(|health| health.block.clone())];
    let ends_at_once = blocks.into_iter().flatten().any(|block| block.ending == Ending::AtOnce);
    let leaves = matches!(worker.duty, Duty::Leaving { .. });
    if ends_at_once || (!node.is_usable(&worker.device) && !leaves) {
        found.push(format!("worker {id} stands on device '{}', which takes no work", worker.device));
    }
}

fn runs_there(state: &State, worker: &Worker, node: &Node, device: &Device) -> bool {
    let session = state.sessions.get(&worker.session);
    session.is_none_or(|session| feasible::can_run(&node.spec.capability, device, session))
}

fn nodes_hold(state: &State, found: &mut Vec<String>) {
    for (id, node) in &state.nodes {
        let offers = &node.spec.capability.offers;
        if !state.used_on(*id).fits_node(offers) {
            found.push(format!("node {id} is over its capacity: {:?} of {offers:?}", state.used_on(*id)));
        }
        for device in &node.spec.capability.devices {
            let used = state.used(*id, &device.name);
            if !used.fits_device(&device.offers) {
                let (name, offers) = (&device.name, &device.offers);
                found.push(format!("device '{name}' of node {id} is over its capacity: {used:?} of {offers:?}"));
            }
        }
    }
}

fn sessions_are_not_overfull(state: &State, found: &mut Vec<String>) {
    for (id, session) in &state.sessions {
        let serving = state.workers_of(*id).filter(|(_, worker)| worker.serves()).count();
        if serving > session.workers_max() as usize {
            found.push(format!("session {id} has {serving} workers; the most is {}", session.workers_max()));
        }
        if session.lacking_since.is_some() != (serving < session.spec.fixed as usize) {
            found.push(format!(
                "session {id} has {serving} of {} and lacks: {:?}",
                session.spec.fixed, session.lacking_since
            ));
        }
        let most = session.spec.need_max.as_ref().unwrap_or(&session.spec.need);
        if !session.spec.need.fits(&session.reserved) || !session.reserved.fits(most) {
            found.push(format!("session {id} reserves {:?}, which it did not ask for", session.reserved));
        }
        if !state.models.contains_key(&session.model) {
            found.push(format!("session {id} uses model {}, which is not there", session.model));
        }
        if *id > state.last_session {
            found.push(format!("session {id} has an id that was not given out yet"));
        }
    }
}

fn nothing_kept_is_shared(state: &State, found: &mut Vec<String>) {
    for (id, worker) in &state.workers {
        let Some(session) = state.sessions.get(&worker.session) else { continue };
        if let Hold::Named { node, device } = &session.hold
            && (worker.node != *node || worker.device != *device)
        {
            found.push(format!("worker {id} does not stand where session {} is bound", worker.session));
        }
        for (other_id, other) in state.workers_on(worker.node).filter(|(other, _)| other != id) {
            let same_device = other.device == worker.device;
            let is_own = other.session == worker.session;
            let is_shared = match session.hold {
                Hold::Nothing => false,
                Hold::Device | Hold::Named { .. } => same_device && !is_own,
                Hold::EachDevice => same_device,
                Hold::Node => !is_own,
            };
            if is_shared {
                found.push(format!("worker {other_id} stands where worker {id} should be without others"));
            }
        }
    }
}

/// Nobody stands where a session keeps a place of its own, and it keeps no more than it wants.
fn nobody_stands_where_a_place_is_kept(state: &State, found: &mut Vec<String>) {
    for (id, session) in state.sessions.iter().filter(|(_, session)| !session.kept.is_empty()) {
        if session.kept.len() > session.target().saturating_sub(state.index().serving(*id)) as usize {
            found.push(format!("session {id} keeps {:?}, which is more than it wants", session.kept));
        }
        for (node, device) in &session.kept {
            let strangers = state.workers_on(*node).filter(|(_, worker)| worker.session != *id);
            let mut close = strangers.filter(|(_, worker)| session.hold.keeps_node() || worker.device == *device);
            if let Some((worker, _)) = close.next() {
                found.push(format!("worker {worker} stands on '{device}' of node {node}, which session {id} keeps"));
            }
        }
    }
}

fn durable_tasks_are_accounted_for(state: &State, found: &mut Vec<String>) {
    for (id, stream) in state.durable.streams() {
        let (pending, kept) = (stream.pending.len(), stream.ended.len());
        if !stream.account.balances(pending, kept) || stream.account.accepted != stream.next.0 {
            found.push(format!("stream {id} does not balance: {:?}, {pending} pending, {kept} kept", stream.account));
        }
        if stream.pending.keys().any(|sequence| stream.ended.contains_key(sequence)) {
            found.push(format!("stream {id} has a task that is pending and has ended"));
        }
        if !stream.pending.is_empty() && !state.sessions.contains_key(&stream.session) {
            found.push(format!("stream {id} has tasks for session {}, which is not open", stream.session));
        }
    }
    let size = state.durable.size();
    if size.tasks > TASKS_MAX || size.bytes > BYTES_MAX || !state.durable.is_consistent() {
        found.push(format!("durable tasks are out of bounds, or miscounted: {size:?}"));
    }
}

fn seats_are_agreed(state: &State, found: &mut Vec<String>) {
    let seats = &state.seats;
    if !seats.rules.within_bounds() || seats.recoveries.len() > RECOVERIES_MAX {
        found.push(format!("the seats are out of bounds: {seats:?}"));
    }
    let strangers = seats.evicted.iter().filter(|node| !state.nodes.contains_key(node));
    found.extend(strangers.map(|node| format!("node {node} is evicted, and never joined")));
}

fn events_are_numbered(state: &State, found: &mut Vec<String>) {
    let numbers = state.history.iter().rev().map(|numbered| numbered.sequence);
    let expected = (1..=state.last_event).rev();
    if !numbers.eq(expected.take(state.history.len())) || state.history.len() > HISTORY_MAX {
        found.push(format!("the last {} events are not numbered up to {}", state.history.len(), state.last_event));
    }
}
