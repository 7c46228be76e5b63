//! Blocks, drains, quarantines and tests.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::apply::{planned, shorten, workers};
use crate::command::Refusal;
use crate::event::Event;
use crate::health::{Author, Block, DeviceReport, Ending, FAULTS_MAX, PROBATION, Phase, REST_MAX};
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::state::{Node, State};
use crate::time::Millis;
use crate::worker::{Duty, Why};

/// What is to be blocked, and how.
pub(super) struct Order<'a> {
    pub(super) device: Option<&'a str>,
    pub(super) by: Author,
    pub(super) reason: &'a str,
    pub(super) ending: Ending,
}

pub(super) fn block(state: &mut State, at: Millis, id: NodeId, order: &Order) -> Result<Vec<Event>, Refusal> {
    let node = node_with(state, id, order.device)?;
    let reason = shorten(order.reason.trim());
    if reason.is_empty() {
        return Err(Refusal::NoReason);
    }
    let block = Block { by: order.by, reason: reason.clone(), since: at, ending: order.ending };
    match order.device {
        None => node.block = Some(block),
        Some(device) => node.devices.entry(device.into()).or_default().block = Some(block),
    }
    state.touch(id);
    let mut events = vec![Event::Blocked { node: id, device: order.device.map(String::from), reason: reason.clone() }];
    events.extend(clear(state, at, id, order.device, order.ending, &reason));
    Ok(events)
}

/// What stands on a blocked place goes: at once, or when it is done.
fn clear(
    state: &mut State,
    at: Millis,
    node: NodeId,
    device: Option<&str>,
    ending: Ending,
    reason: &str,
) -> Vec<Event> {
    let reason = alloc::format!("its place is blocked: {reason}");
    let end = |state: &mut State, id: WorkerId, duty: &Duty| match (ending, duty) {
        (Ending::AtOnce, _) | (_, Duty::Warm) => workers::remove(state, at, id, &reason),
        _ => drain(state, at, id),
    };
    let there = standing(state, node, device);
    there.into_iter().filter_map(|(id, duty)| end(state, id, &duty)).collect()
}

fn standing(state: &State, node: NodeId, device: Option<&str>) -> Vec<(WorkerId, Duty)> {
    let there = state.workers_on(node).filter(|(_, worker)| device.is_none_or(|device| worker.device == device));
    there.map(|(id, worker)| (id, worker.duty.clone())).collect()
}

/// A worker on a drained place has until the deadline of the drain, by the newest word, be that longer or shorter than the
/// last. One that has to leave for somebody before that still does.
fn drain(state: &mut State, at: Millis, id: WorkerId) -> Option<Event> {
    let worker = state.workers.get(&id)?;
    let until = state.nodes.get(&worker.node)?.drained_until(&worker.device)?;
    match &worker.duty {
        Duty::Leaving { until: known, why: Why::Drained } if *known == until => return None,
        Duty::Leaving { why: Why::Drained, .. } => {}
        Duty::Leaving { until: earlier, .. } if *earlier <= until => return None,
        _ => {}
    }
    let why = Why::Drained;
    planned::set_duty(state, at, id, Duty::Leaving { until, why });
    Some(Event::WorkerLeaving { worker: id, until, why })
}

pub(super) fn unblock(state: &mut State, at: Millis, id: NodeId, device: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let node = node_with(state, id, device)?;
    let block = match device {
        None => node.block.take(),
        Some(device) => node.devices.get_mut(device).and_then(|health| health.block.take()),
    };
    let was = block.ok_or(Refusal::NotBlocked(id))?.reason;
    node.devices.retain(|_, health| !health.is_forgettable());
    state.touch(id);
    let mut events = vec![Event::Unblocked { node: id, device: device.map(String::from), was }];
    // What was to leave with the drain may stay, where nothing else is in its way; what another drain holds keeps to that.
    for (worker, duty) in standing(state, id, None) {
        if !matches!(duty, Duty::Leaving { why: Why::Drained, .. }) {
            continue;
        }
        let Some(known) = state.workers.get(&worker) else { continue };
        let (session, is_usable) =
            (known.session, state.nodes.get(&id).is_some_and(|node| node.is_usable(&known.device)));
        if !is_usable {
            events.extend(drain(state, at, worker));
        } else if !is_full(state, session) {
            planned::set_duty(state, at, worker, Duty::Serving);
            let reason = "the place that it was to leave is no longer blocked".into();
            events.push(Event::WorkerRevived { worker, session, reason });
        }
    }
    Ok(events)
}

/// Its session may have found others in place of those that had to leave.
fn is_full(state: &State, id: SessionId) -> bool {
    state.sessions.get(&id).is_none_or(|session| state.index().serving(id) >= session.workers_max())
}

pub(super) fn device_report(
    state: &mut State,
    at: Millis,
    id: NodeId,
    device: &str,
    report: &DeviceReport,
) -> Result<Vec<Event>, Refusal> {
    let node = node_with(state, id, Some(device))?;
    let health = node.devices.get(device).cloned().unwrap_or_default();
    match (report, &health.phase) {
        (DeviceReport::Faults { times, reason }, Phase::Sound) if *times >= FAULTS_MAX => {
            Ok(quarantine(state, at, id, device, reason))
        }
        (DeviceReport::Faults { times, reason }, Phase::Probation { .. }) if *times > 0 => {
            Ok(quarantine(state, at, id, device, reason))
        }
        (DeviceReport::Failed { reason }, Phase::Testing { .. }) => Ok(quarantine(state, at, id, device, reason)),
        (DeviceReport::Passed, Phase::Testing { .. }) => {
            set_phase(node, device, Phase::Probation { until: at + PROBATION });
            state.touch(id);
            Ok(vec![Event::DevicePassed { node: id, device: device.into() }])
        }
        _ => Err(Refusal::WrongPhase),
    }
}

fn quarantine(state: &mut State, at: Millis, id: NodeId, device: &str, reason: &str) -> Vec<Event> {
    let reason = shorten(reason);
    if let Some(node) = state.nodes.get_mut(&id) {
        let health = node.devices.entry(device.into()).or_default();
        health.phase = Phase::Quarantined { until: at + health.rest(), reason: reason.clone() };
        health.quarantines = health.quarantines.saturating_add(1);
    }
    state.touch(id);
    let mut events = vec![Event::DeviceQuarantined { node: id, device: device.into(), reason: reason.clone() }];
    events.extend(clear(state, at, id, Some(device), Ending::AtOnce, &reason));
    events
}

pub(super) fn device_test(state: &mut State, at: Millis, id: NodeId, device: &str) -> Result<Vec<Event>, Refusal> {
    let node = node_with(state, id, Some(device))?;
    let reason = match node.devices.get(device).map(|health| &health.phase) {
        Some(Phase::Quarantined { until, reason }) if until.has_come(at, REST_MAX) => reason.clone(),
        Some(Phase::Testing { reason, .. }) => reason.clone(),
        _ => return Err(Refusal::WrongPhase),
    };
    set_phase(node, device, Phase::Testing { since: at, reason });
    state.touch(id);
    Ok(vec![Event::DeviceTested { node: id, device: device.into() }])
}

pub(super) fn device_trust(state: &mut State, at: Millis, id: NodeId, device: &str) -> Result<Vec<Event>, Refusal> {
    let node = node_with(state, id, Some(device))?;
    match node.devices.get_mut(device) {
        Some(health) if matches!(health.phase, Phase::Probation { until } if until.has_come(at, PROBATION)) => {
            health.phase = Phase::Sound;
            health.quarantines = 0;
        }
        _ => return Err(Refusal::WrongPhase),
    }
    node.devices.retain(|_, health| !health.is_forgettable());
    state.touch(id);
    Ok(vec![Event::DeviceTrusted { node: id, device: device.into() }])
}

fn set_phase(node: &mut Node, device: &str, phase: Phase) {
    if let Some(health) = node.devices.get_mut(device) {
        health.phase = phase;
    }
}

fn node_with<'state>(state: &'state mut State, id: NodeId, device: Option<&str>) -> Result<&'state mut Node, Refusal> {
    let node = state.nodes.get_mut(&id).ok_or(Refusal::NoNode(id))?;
    match device {
        Some(device) if node.spec.capability.device(device).is_none() => Err(Refusal::NoDevice {
            node: id,
            device: device.chars().take(80).collect(),
            known: node.spec.capability.devices.iter().map(|device| device.name.clone()).collect(),
        }),
        _ => Ok(node),
    }
}
