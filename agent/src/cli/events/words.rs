//! Events in words: what, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_core::event::Event;
use skein_core::plan::Change;
use skein_core::{Millis, NodeId, WorkerId};

use crate::cli::amounts::{resources, time};
use crate::cli::session::show::account as words;

/// What the nodes are called.
pub(super) type Names = BTreeMap<NodeId, String>;

/// What happened; why is [`Event::reason`].
pub(super) fn of(event: &Event, names: &Names) -> String {
    let node_words = |node: &NodeId| place(*node, None, names);
    match event {
        Event::Founded(mesh) => format!("mesh {mesh} is founded"),
        Event::PolicySet(policy) => format!("the mesh's policy is {policy}"),
        Event::SeatsSet(_) | Event::SeatEvicted(_) | Event::SeatAllowed(_) | Event::Recovered { .. } => {
            seats(event, names)
        }
        Event::NodeJoined { node, .. } => format!("{} joined, or stated itself anew", node_words(node)),
        Event::NodeDown(node) => format!("{} is down", node_words(node)),
        Event::NodeUp(node) => format!("{} is up", node_words(node)),
        Event::Blocked { .. }
        | Event::Unblocked { .. }
        | Event::DeviceQuarantined { .. }
        | Event::DeviceTested { .. }
        | Event::DevicePassed { .. }
        | Event::DeviceTrusted { .. } => health(event, names),
        Event::ModelAdded(model) => format!("model {model} is added"),
        Event::ModelKnown(model) => format!("model {model} was there already"),
        Event::SessionCreated(session) => format!("session {session} is open"),
        Event::SessionKnown(session) => format!("session {session} was open already"),
        Event::SessionEnded(session) => format!("session {session} is ended"),
        Event::SessionWants { session, workers } => format!("session {session} wants {workers} workers"),
        Event::SessionReserved { session, reserved, .. } => {
            format!("session {session} is given {} a worker", resources(reserved))
        }
        Event::ChangeRefused { change, .. } => format!("{} was planned and refused", change_words(change, names)),
        Event::StreamOpened { .. } | Event::StreamMoved { .. } | Event::StreamClosed { .. } => stream(event, names),
        Event::IslandReported { node, session, account } => {
            format!("{} was cut off and did for session {session}: {}", node_words(node), words(account))
        }
        Event::WorkerPlanned { .. }
        | Event::WorkerChanged { .. }
        | Event::WorkerAtStake { .. }
        | Event::WorkerResized { .. }
        | Event::WorkerReturned { .. }
        | Event::WorkerRevived { .. }
        | Event::WorkerLeaving { .. }
        | Event::WorkerRemoved { .. } => worker(event, names),
    }
}

fn seats(event: &Event, names: &Names) -> String {
    match event {
        Event::SeatsSet(rules) => {
            let after = humantime::format_duration(Duration::from_millis(rules.replace_after.0));
            format!("{} nodes should vote; one that is gone is replaced after {after}", rules.voters)
        }
        Event::SeatEvicted(node) => format!("{} is to have no vote", place(*node, None, names)),
        Event::SeatAllowed(node) => format!("{} may vote again", place(*node, None, names)),
        Event::Recovered { from, mesh, by } => {
            let from = from.map_or_else(|| "a mesh without a name".into(), |from| format!("mesh {from}"));
            format!("{from} goes on as mesh {mesh}, from the replica of {}", place(*by, None, names))
        }
        _ => format!("{event:?}"),
    }
}

fn health(event: &Event, names: &Names) -> String {
    let place = |node: &NodeId, device: Option<&str>| place(*node, device, names);
    match event {
        Event::Blocked { node, device, .. } => format!("{} is blocked", place(node, device.as_deref())),
        Event::Unblocked { node, device, .. } => format!("{} is unblocked", place(node, device.as_deref())),
        Event::DeviceQuarantined { node, device, .. } => format!("{} is quarantined", place(node, Some(device))),
        Event::DeviceTested { node, device } => format!("{} is tested", place(node, Some(device))),
        Event::DevicePassed { node, device } => format!("{} is on probation", place(node, Some(device))),
        Event::DeviceTrusted { node, device } => format!("{} is sound", place(node, Some(device))),
        _ => format!("{event:?}"),
    }
}

fn stream(event: &Event, names: &Names) -> String {
    match event {
        Event::StreamOpened { stream, session, gateway } => {
            let gateway = place(*gateway, None, names);
            format!("durable tasks of stream {stream} for session {session} are run by {gateway}")
        }
        Event::StreamMoved { stream, from, to, .. } => {
            let (from, to) = (place(*from, None, names), place(*to, None, names));
            format!("durable tasks of stream {stream} are run by {to}, no longer by {from}")
        }
        Event::StreamClosed { stream, account, .. } => {
            format!("stream {stream} is forgotten: {} done, {} failed", account.done, account.failed)
        }
        _ => format!("{event:?}"),
    }
}

fn worker(event: &Event, names: &Names) -> String {
    match event {
        Event::WorkerPlanned { worker, session, node, device, .. } => {
            format!("worker {worker} of session {session} is planned on {}", place(*node, Some(device), names))
        }
        Event::WorkerChanged { worker, status } => format!("worker {worker} is {status}"),
        Event::WorkerAtStake { worker, length: Millis(0) } => format!("worker {worker} has nothing at stake"),
        Event::WorkerAtStake { worker, length } => {
            let length = humantime::format_duration(Duration::from_millis(length.0));
            format!("worker {worker} would lose {length} of work")
        }
        Event::WorkerResized { worker, need } => format!("worker {worker} is given {}", resources(need)),
        Event::WorkerReturned { worker, session } => {
            format!("worker {worker} of session {session} is only kept warm")
        }
        Event::WorkerRevived { worker, session, .. } => format!("worker {worker} serves session {session} again"),
        Event::WorkerLeaving { worker, until, .. } => {
            let when = if until.0 == u64::MAX { "when it is done".into() } else { format!("by {}", time(*until)) };
            format!("worker {worker} leaves {when}")
        }
        Event::WorkerRemoved { worker, session, .. } => format!("worker {worker} of session {session} left the plan"),
        _ => format!("{event:?}"),
    }
}

fn place(node: NodeId, device: Option<&str>, names: &Names) -> String {
    let name = names.get(&node).cloned().unwrap_or_else(|| node.to_string());
    match device {
        Some(device) => format!("device '{device}' of node {name}"),
        None => format!("node {name}"),
    }
}

fn change_words(change: &Change, names: &Names) -> String {
    let of = |verb: &str, worker: &WorkerId| format!("to {verb} worker {worker}");
    match change {
        Change::Stop(worker) => of("stop", worker),
        Change::Leave { worker, .. } => of("have leave", worker),
        Change::Return(worker) => of("take back", worker),
        Change::Revive(worker) => of("revive", worker),
        Change::Recall(worker) => of("call back", worker),
        Change::Resize { worker, .. } => of("resize", worker),
        Change::Start(start) => {
            let place = place(start.node, Some(&start.device), names);
            format!("to start a worker of session {} on {place}", start.session)
        }
    }
}
