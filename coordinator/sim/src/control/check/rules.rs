//! What becomes of devices that fail, drains that end, and workers that run out of memory: with what went before.

use skein_core::capability::{Device, NodeSpec};
use skein_core::health::{Block, DeviceHealth, Ending, Phase};
use skein_core::session::Hold;
use skein_core::state::Node;
use skein_core::worker::{Duty, Why, Worker, WorkerReport};
use skein_core::{Command, Entry, Event, Millis, NodeId, Resources, State, WorkerId};

use super::mesh::{Mesh, Sum, runs, takes_work};

/// Whether there is anything to say of a command.
pub(in crate::control) fn concern(command: &Command) -> bool {
    match command {
        Command::DeviceReport { .. } | Command::Block { .. } | Command::Unblock { .. } | Command::NodeJoin(_) => true,
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
        Command::Block { node, .. } => drained_in_time(state, *node, &mut found),
        Command::Unblock { node, .. } => {
            called_back(state, *node, &mut found);
            drained_in_time(state, *node, &mut found);
        }
        Command::NodeJoin(spec) => lost_rightly(before, state, spec, &mut found),
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

/// Whoever leaves with a drain does so by its deadline, as it was last set; by the earlier one where both the node and the
/// device are drained.
fn drained_in_time(state: &State, node: NodeId, found: &mut Vec<String>) {
    let Some(known) = state.nodes.get(&node) else { return };
    for (id, worker) in state.workers.iter().filter(|(_, worker)| worker.node == node) {
        let Duty::Leaving { until, why: Why::Drained } = worker.duty else { continue };
        let of_device = known.devices.get(&worker.device).and_then(|health| health.block.as_ref());
        let deadline = |block: &Block| match block.ending {
            Ending::AtOnce => block.since.0,
            Ending::WhenDone => u64::MAX,
            Ending::Within(length) => block.since.0.saturating_add(length.0),
        };
        let due = known.block.iter().chain(of_device).map(deadline).min();
        // One whose drain is over, and whose session had others by then, goes when it said it would.
        if due.is_some_and(|due| due != until.0) {
            found.push(format!("worker {id} is drained until {until}, and should be until {due:?}"));
        }
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
    let had = before.workers.get(&worker).map_or(0, |worker| worker.need.memory_bytes);
    let due = was.reserved.memory_bytes.max(had * 3 / 2).min(most);
    let reached = |bytes: u64| {
        let reserved = Resources { memory_bytes: bytes, ..was.reserved.clone() };
        let needed = Sum::of([&reserved].into_iter());
        before.nodes.iter().filter(|(_, node)| node.up).any(|(id, node)| {
            let offers = &node.spec.capability.offers;
            let bound = |device: &Device| match &was.hold {
                Hold::Named { node, device: name } => node == id && *name == device.name,
                _ => true,
            };
            let mut there =
                node.spec.capability.devices.iter().filter(|device| bound(device) && runs(was, node, device));
            needed.fits_node(offers) && there.any(|device| needed.fits_device(&device.offers))
        })
    };
    if due > was.reserved.memory_bytes && !reached(due) {
        let is_more = is.reserved.memory_bytes > was.reserved.memory_bytes;
        if is_more && !reached(is.reserved.memory_bytes) {
            found.push(format!("no node has the {} bytes that are reserved", is.reserved.memory_bytes));
        }
        return;
    }
    if is.reserved.memory_bytes != due {
        found.push(format!(
            "after {} bytes were too few come {}, not {due}",
            was.reserved.memory_bytes, is.reserved.memory_bytes
        ));
    }
}

/// A node that offers less loses those who use what it is short of, and whoever is only kept warm before all others.
fn lost_rightly(before: &State, state: &State, spec: &NodeSpec, found: &mut Vec<String>) {
    let mesh = Mesh::of(before, Millis(0));
    let there = mesh.on(spec.id);
    let short_of = |worker: &Worker| -> Vec<usize> {
        let Some(device) = spec.capability.devices.iter().find(|device| device.name == worker.device) else {
            return (0..5).collect();
        };
        let node = Sum::of(there.iter().map(|(_, other)| &other.need));
        let on_device = there.iter().filter(|(_, other)| other.device == worker.device);
        node.excess(&spec.capability.offers, &Sum::of(on_device.map(|(_, other)| &other.need)), &device.offers)
    };
    let uses = |worker: &Worker, short: &[usize]| {
        let need = &worker.need;
        let amounts = [need.cpu_millicores, need.memory_bytes, need.gpu_milli, need.gpu_memory_bytes];
        short.iter().any(|at| amounts.get(*at).map_or(!need.named.is_empty(), |amount| *amount > 0))
    };
    for (id, worker) in there.iter().filter(|(id, _)| !state.workers.contains_key(id)) {
        let device = spec.capability.devices.iter().find(|device| device.name == worker.device);
        let session = before.sessions.get(&worker.session);
        let node = Node { spec: spec.clone(), up: true, since: Millis(0), block: None, devices: [].into(), flaps: 0 };
        if !session.zip(device).is_some_and(|(session, device)| runs(session, &node, device)) {
            continue;
        }
        let short = short_of(worker);
        if !uses(worker, &short) {
            found.push(format!("worker {id} goes and uses nothing that its node is short of"));
        }
        let is_kept = |other: &&(WorkerId, &Worker)| {
            state.workers.contains_key(&other.0) && other.1.duty == Duty::Warm && other.1.device == worker.device
        };
        if worker.duty != Duty::Warm
            && there
                .iter()
                .filter(is_kept)
                .any(|(_, other)| short.iter().filter(|at| uses(worker, &[**at])).all(|at| uses(other, &[*at])))
        {
            found.push(format!("worker {id} goes before one that is only kept warm"));
        }
    }
}
