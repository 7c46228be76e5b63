//! Events in words: what, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_core::event::Event;
use skein_core::plan::Change;
use skein_core::{NodeId, WorkerId};

use crate::cli::amounts::{resources, time};

/// What the nodes are called.
pub(super) type Names = BTreeMap<NodeId, String>;

pub(super) fn of(event: &Event, names: &Names) -> (String, Option<String>) {
    let plain = |what: String| (what, None);
    let node_words = |node: &NodeId| place(*node, None, names);
    match event {
        Event::Founded(mesh) => plain(format!("mesh {mesh} is founded")),
        Event::PolicySet(policy) => plain(format!("the mesh's policy is {policy}")),
        Event::SeatsSet(_) | Event::SeatEvicted(_) | Event::SeatAllowed(_) | Event::Recovered { .. } => {
            seats(event, names)
        }
        Event::NodeJoined(node) => plain(format!("{} joined, or stated itself anew", node_words(node))),
        Event::NodeDown(node) => {
            (format!("{} is down", node_words(node)), Some("the leader no longer hears it".into()))
        }
        Event::NodeUp(node) => (format!("{} is up", node_words(node)), Some("the leader hears it again".into())),
        Event::Blocked { .. }
        | Event::Unblocked { .. }
        | Event::DeviceQuarantined { .. }
        | Event::DeviceTested { .. }
        | Event::DevicePassed { .. }
        | Event::DeviceTrusted { .. } => health(event, names),
        Event::ModelAdded(model) => plain(format!("model {model} is added")),
        Event::ModelKnown(model) => plain(format!("model {model} was there already")),
        Event::SessionCreated(session) => plain(format!("session {session} is open")),
        Event::SessionEnded(session) => plain(format!("session {session} is ended")),
        Event::SessionWants { session, workers } => {
            (format!("session {session} wants {workers} workers"), Some("by its pending tasks".into()))
        }
        Event::SessionReserved { session, reserved, reason } => {
            (format!("session {session} is given {} a worker", resources(reserved)), Some(reason.clone()))
        }
        Event::ChangeRefused { change, reason } => {
            (format!("{} was planned and refused", change_words(change, names)), Some(reason.clone()))
        }
        Event::StreamOpened { .. } | Event::StreamMoved { .. } | Event::StreamClosed { .. } => stream(event, names),
        _ => worker(event),
    }
}

fn seats(event: &Event, names: &Names) -> (String, Option<String>) {
    let asked = Some("an operator asked for it".into());
    match event {
        Event::SeatsSet(rules) => {
            let after = humantime::format_duration(Duration::from_millis(rules.replace_after.0));
            (format!("{} nodes should vote; one that is gone is replaced after {after}", rules.voters), asked)
        }
        Event::SeatEvicted(node) => (format!("{} is to have no vote", place(*node, None, names)), asked),
        Event::SeatAllowed(node) => (format!("{} may vote again", place(*node, None, names)), asked),
        Event::Recovered { from, mesh, by } => {
            let from = from.map_or_else(|| "a mesh without a name".into(), |from| format!("mesh {from}"));
            let by = place(*by, None, names);
            (format!("{from} goes on as mesh {mesh}, from the replica of {by}"), Some("most voters were lost".into()))
        }
        _ => (format!("{event:?}"), None),
    }
}

fn health(event: &Event, names: &Names) -> (String, Option<String>) {
    let place = |node: &NodeId, device: Option<&str>| place(*node, device, names);
    match event {
        Event::Blocked { node, device, reason } => {
            (format!("{} is blocked", place(node, device.as_deref())), Some(reason.clone()))
        }
        Event::Unblocked { node, device } => (format!("{} is unblocked", place(node, device.as_deref())), None),
        Event::DeviceQuarantined { node, device, reason } => {
            (format!("{} is quarantined", place(node, Some(device))), Some(reason.clone()))
        }
        Event::DeviceTested { node, device } => {
            (format!("{} is tested", place(node, Some(device))), Some("it has rested".into()))
        }
        Event::DevicePassed { node, device } => {
            (format!("{} is on probation", place(node, Some(device))), Some("it passed its test".into()))
        }
        Event::DeviceTrusted { node, device } => {
            (format!("{} is sound", place(node, Some(device))), Some("its probation is over".into()))
        }
        _ => (format!("{event:?}"), None),
    }
}

fn stream(event: &Event, names: &Names) -> (String, Option<String>) {
    match event {
        Event::StreamOpened { stream, session, gateway } => {
            let gateway = place(*gateway, None, names);
            (format!("durable tasks of stream {stream} for session {session} are run by {gateway}"), None)
        }
        Event::StreamMoved { stream, from, to, .. } => {
            let (from, to) = (place(*from, None, names), place(*to, None, names));
            (format!("durable tasks of stream {stream} are run by {to}"), Some(format!("{from} was lost")))
        }
        Event::StreamClosed { stream, account, reason, .. } => {
            let (done, failed) = (account.done, account.failed);
            (format!("stream {stream} is forgotten: {done} done, {failed} failed"), Some(reason.clone()))
        }
        _ => (format!("{event:?}"), None),
    }
}

fn worker(event: &Event) -> (String, Option<String>) {
    match event {
        Event::WorkerPlanned(worker) => (format!("worker {worker} is planned"), None),
        Event::WorkerChanged { worker, status } => (format!("worker {worker} is {status}"), None),
        Event::WorkerResized { worker } => {
            (format!("worker {worker} is given more or less"), Some("by measured use".into()))
        }
        Event::WorkerReturned(worker) => {
            (format!("worker {worker} is only kept warm"), Some("its session gave it back".into()))
        }
        Event::WorkerRevived(worker) => (format!("worker {worker} serves again"), None),
        Event::WorkerLeaving { worker, until, why } => {
            let when = if until.0 == u64::MAX { "when it is done".into() } else { format!("by {}", time(*until)) };
            (format!("worker {worker} leaves {when}"), Some(why.to_string()))
        }
        Event::WorkerRemoved { worker, session, reason } => {
            (format!("worker {worker} of session {session} left the plan"), Some(reason.clone()))
        }
        _ => (format!("{event:?}"), None),
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
        Change::Resize { worker, .. } => of("resize", worker),
        Change::Start(start) => {
            let place = place(start.node, Some(&start.device), names);
            format!("to start a worker of session {} on {place}", start.session)
        }
    }
}
