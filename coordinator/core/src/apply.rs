//! The one way the replicated state changes.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::command::{Command, Entry, Refusal};
use crate::event::{Event, Numbered};
use crate::ids::MeshId;
use crate::model::{FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelRef, ModelSpec, is_name};
use crate::state::{HISTORY_MAX, MODELS_MAX, State};
use crate::time::Millis;
use crate::worker::REASON_BYTES_MAX;

mod durable;
mod health;
mod islands;
mod nodes;
mod planned;
mod seats;
mod sessions;
mod workers;

/// How many names a refusal lists.
const KNOWN_NAMES_MAX: usize = 10;

/// Applies one entry. Every replica comes to the same state and the same events; a refused command changes nothing.
pub fn apply(state: &mut State, entry: &Entry) -> Result<Vec<Event>, Refusal> {
    let events = change(state, entry)?;
    for event in &events {
        state.last_event += 1;
        state.history.push_back(Numbered { sequence: state.last_event, at: entry.at, event: event.clone() });
    }
    let surplus = state.history.len().saturating_sub(HISTORY_MAX);
    state.history.drain(..surplus);
    Ok(events)
}

fn change(state: &mut State, entry: &Entry) -> Result<Vec<Event>, Refusal> {
    let at = entry.at;
    match &entry.command {
        Command::Found { mesh } => found(state, *mesh),
        Command::PolicySet(policy) => {
            state.policy = *policy;
            Ok(vec![Event::PolicySet(*policy)])
        }
        Command::SeatsSet(rules) => seats::set(state, *rules),
        Command::SeatEvict(node) => seats::evict(state, *node),
        Command::SeatAllow(node) => seats::allow(state, *node),
        Command::Recover { mesh, by } => seats::recover(state, at, *mesh, *by),
        Command::NodeJoin(spec) => nodes::join(state, at, spec),
        Command::NodeDown(node) => nodes::down(state, at, *node),
        Command::NodeUp(node) => nodes::up(state, at, *node),
        Command::Block { node, device, by, reason, ending } => {
            let order = health::Order { device: device.as_deref(), by: *by, reason, ending: *ending };
            health::block(state, at, *node, &order)
        }
        Command::Unblock { node, device } => health::unblock(state, at, *node, device.as_deref()),
        Command::DeviceReport { node, device, report } => health::device_report(state, at, *node, device, report),
        Command::DeviceTest { node, device } => health::device_test(state, at, *node, device),
        Command::DeviceTrust { node, device } => health::device_trust(state, at, *node, device),
        Command::ModelAdd(spec) => model_add(state, spec),
        Command::SessionCreate(spec) => sessions::create(state, at, spec),
        Command::SessionEnd(session) => sessions::end(state, at, *session),
        Command::SessionWant { session, workers } => sessions::want(state, *session, *workers),
        Command::SessionReserve { session, reserved } => sessions::reserve(state, *session, reserved),
        Command::WorkerReport { node, worker, report } => workers::report(state, at, *node, *worker, report),
        Command::Plan(plan) => Ok(planned::carry_out(state, at, plan)),
        Command::Tasks(command) => durable::tasks(state, at, command),
        Command::IslandReport(report) => islands::report(state, report),
    }
}

fn found(state: &mut State, mesh: MeshId) -> Result<Vec<Event>, Refusal> {
    if let Some(known) = state.mesh {
        return Err(Refusal::AlreadyFounded(known));
    }
    state.mesh = Some(mesh);
    Ok(vec![Event::Founded(mesh)])
}

fn model_add(state: &mut State, spec: &ModelSpec) -> Result<Vec<Event>, Refusal> {
    if !is_name(&spec.name) {
        return Err(Refusal::BadName(spec.name.chars().take(KNOWN_NAMES_MAX * 8).collect()));
    }
    if spec.manifest.len() > MANIFEST_BYTES_MAX || spec.blobs().iter().any(|blob| blob.size > FILE_BYTES_MAX) {
        return Err(Refusal::ModelTooLarge);
    }
    let newest = state.models.iter().rfind(|(model, _)| model.name == spec.name);
    if let Some((model, known)) = newest
        && known == spec
    {
        return Ok(vec![Event::ModelKnown(model.clone())]);
    }
    if state.models.len() >= MODELS_MAX {
        return Err(full("model versions", MODELS_MAX));
    }
    let version = newest.map_or(1, |(model, _)| model.version.saturating_add(1));
    let model = ModelRef { name: spec.name.clone(), version };
    state.models.insert(model.clone(), spec.clone());
    Ok(vec![Event::ModelAdded(model)])
}

fn full(what: &str, most: usize) -> Refusal {
    Refusal::Full { what: what.into(), most }
}

/// A text from outside, cut where it is too long.
fn shorten(reason: &str) -> String {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_string()
}

/// Whether a session has its fixed workers, and since when not.
fn note_lacking(state: &mut State, at: Millis, id: crate::ids::SessionId) {
    let serving = state.index().serving(id);
    if let Some(session) = state.sessions.get_mut(&id) {
        session.lacking_since = if serving >= session.spec.fixed { None } else { session.lacking_since.or(Some(at)) };
    }
    state.release_surplus(id);
}
