//! What becomes of devices that fail, drains that end, and workers that run out of memory: with what went before.

use skein_core::health::{DeviceHealth, Phase};
use skein_core::worker::{Duty, Why, WorkerReport};
use skein_core::{Command, Entry, Event, Millis, NodeId, State, WorkerId};

use super::mesh::{Mesh, takes_work};

/// Whether there is anything to say of a command.
pub(in crate::control) fn concern(command: &Command) -> bool {
    match command {
        Command::DeviceReport { .. } | Command::Unblock { .. } => true,
        Command::WorkerReport { report, .. } => *report == WorkerReport::OutOfMemory,
        _ => false,
    }
}

pub(in crate::control) fn violations(before: &State, state: &State, entry: &Entry, events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    for event in events {
        device(before, state, entry.at, event, &mut found);
    }
    match &entry.command {
        Command::Unblock { node, .. } => called_back(state, *node, &mut found),
        Command::WorkerReport { worker, .. } => memory(before, state, *worker, &mut found),
        _ => {}
    }
    found
}

/// A device rests ten seconds, twice as long each time up to six doublings; and is watched for a minute after its test.
fn device(before: &State, state: &State, at: Millis, event: &Event, found: &mut Vec<String>) {
    let health = |state: &State, node: &NodeId, device: &str| -> DeviceHealth {
        state.nodes.get(node).and_then(|node| node.devices.get(device)).cloned().unwrap_or_default()
    };
    let right = match event {
        Event::DeviceQuarantined { node, device, .. } => {
            let rest = 10_000 << health(before, node, device).quarantines.min(6);
            matches!(health(state, node, device).phase, Phase::Quarantined { until, .. } if until.0 == at.0 + rest)
        }
        Event::DevicePassed { node, device } => {
            matches!(health(state, node, device).phase, Phase::Probation { until } if until.0 == at.0 + 60_000)
        }
        _ => true,
    };
    if !right {
        found.push(format!("{event:?}, and it is not so"));
    }
}

/// Whoever was to leave with a drain that is over stays, if its session has room for it.
fn called_back(state: &State, node: NodeId, found: &mut Vec<String>) {
    let mesh = Mesh::of(state, Millis(0));
    for (id, worker) in mesh.on(node) {
        let drained = matches!(worker.duty, Duty::Leaving { why: Why::Drained, .. });
        let usable = state.nodes.get(&node).is_some_and(|node| takes_work(node, &worker.device));
        let room = state
            .sessions
            .get(&worker.session)
            .is_some_and(|session| mesh.serving(worker.session) < session.spec.fixed.max(session.spec.max));
        if drained && usable && room {
            found.push(format!("worker {id} leaves with a drain that is over"));
        }
    }
}

/// The next ones get half as much again, where the session allows it.
fn memory(before: &State, state: &State, worker: WorkerId, found: &mut Vec<String>) {
    let session = before.workers.get(&worker).map(|worker| worker.session);
    let (Some(was), Some(is)) =
        (session.and_then(|id| before.sessions.get(&id)), session.and_then(|id| state.sessions.get(&id)))
    else {
        return;
    };
    let most = was.spec.need_max.as_ref().unwrap_or(&was.spec.need).memory_bytes;
    let due = (was.reserved.memory_bytes * 3 / 2).min(most);
    if is.reserved.memory_bytes != due {
        found.push(format!(
            "after {} bytes were too few come {}, not {due}",
            was.reserved.memory_bytes, is.reserved.memory_bytes
        ));
    }
}
