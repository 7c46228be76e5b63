//! The one way the replicated state changes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use crate::capability::NodeSpec;
use crate::command::{Command, Entry, Refusal};
use crate::event::Event;
use crate::ids::{MeshId, NodeId, SessionId, WorkerId};
use crate::model::{FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelRef, ModelSpec, is_name};
use crate::plan::{Plan, feasible};
use crate::session::{FIXED_MAX, Failure, Session, SessionSpec};
use crate::state::{Node, State};
use crate::time::Millis;
use crate::worker::{REASON_BYTES_MAX, Worker, WorkerReport, WorkerStatus};

/// How many names a refusal lists.
const KNOWN_NAMES_MAX: usize = 10;

/// Applies one entry. Every replica comes to the same state and the same events; a refused command changes nothing.
pub fn apply(state: &mut State, entry: &Entry) -> Result<Vec<Event>, Refusal> {
    let at = entry.at;
    match &entry.command {
        Command::Found { mesh } => found(state, *mesh),
        Command::NodeJoin(spec) => node_join(state, at, spec),
        Command::NodeDown(node) => node_down(state, at, *node),
        Command::NodeUp(node) => node_up(state, at, *node),
        Command::ModelAdd(spec) => model_add(state, spec),
        Command::SessionCreate(spec) => session_create(state, at, spec),
        Command::SessionEnd(session) => session_end(state, *session),
        Command::WorkerReport { node, worker, report } => worker_report(state, at, *node, *worker, report),
        Command::Plan(plan) => Ok(change_plan(state, at, plan)),
    }
}

fn found(state: &mut State, mesh: MeshId) -> Result<Vec<Event>, Refusal> {
    if let Some(known) = state.mesh {
        return Err(Refusal::AlreadyFounded(known));
    }
    state.mesh = Some(mesh);
    Ok(vec![Event::Founded(mesh)])
}

fn node_join(state: &mut State, at: Millis, spec: &NodeSpec) -> Result<Vec<Event>, Refusal> {
    if !spec.within_bounds() {
        return Err(Refusal::NodeOutOfBounds);
    }
    let since = match state.nodes.get(&spec.id) {
        Some(known) if known.up => known.since,
        _ => at,
    };
    state.nodes.insert(spec.id, Node { spec: spec.clone(), up: true, since });
    // A node may come back with less than it had: what can no longer stand there leaves the plan, newest first.
    let mut events = vec![Event::NodeJoined(spec.id)];
    while let Some(worker) = newest_that_cannot_stand(state, spec) {
        events.push(remove_worker(state, worker, "its node now offers less"));
    }
    Ok(events)
}

fn newest_that_cannot_stand(state: &State, spec: &NodeSpec) -> Option<WorkerId> {
    let on_node = state.workers.iter().rev().filter(|(_, worker)| worker.node == spec.id);
    let mut unable = on_node.filter(|(_, worker)| {
        let device = spec.capability.device(&worker.device);
        let served = state.sessions.get(&worker.session).is_some_and(|session| {
            device.is_some_and(|device| feasible::can_run(&spec.capability, device, &session.target))
        });
        !served || device.is_none_or(|device| state.used(spec.id, &device.name).first_excess(&device.offers).is_some())
    });
    unable.next().map(|(id, _)| *id)
}

fn node_down(state: &mut State, at: Millis, node: NodeId) -> Result<Vec<Event>, Refusal> {
    let known = state.nodes.get_mut(&node).ok_or(Refusal::NoNode(node))?;
    if !known.up {
        return Ok(vec![]);
    }
    known.up = false;
    known.since = at;
    let mut events = vec![Event::NodeDown(node)];
    events.extend(remove_workers(state, "its node is down", |worker| worker.node == node));
    Ok(events)
}

fn node_up(state: &mut State, at: Millis, node: NodeId) -> Result<Vec<Event>, Refusal> {
    let known = state.nodes.get_mut(&node).ok_or(Refusal::NoNode(node))?;
    if known.up {
        return Ok(vec![]);
    }
    known.up = true;
    known.since = at;
    Ok(vec![Event::NodeUp(node)])
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
    let version = newest.map_or(1, |(model, _)| model.version.saturating_add(1));
    let model = ModelRef { name: spec.name.clone(), version };
    state.models.insert(model.clone(), spec.clone());
    Ok(vec![Event::ModelAdded(model)])
}

fn session_create(state: &mut State, at: Millis, spec: &SessionSpec) -> Result<Vec<Event>, Refusal> {
    check_numbers(spec)?;
    let same = |session: &Session| spec.claim.is_some() && session.claim == spec.claim;
    if let Some((known, _)) = state.sessions.iter().find(|(_, session)| same(session)) {
        return Ok(vec![Event::SessionCreated(*known)]);
    }
    let Some((model, _)) = state.find_model(&spec.model) else {
        let known: BTreeSet<&str> = state.models.keys().map(|model| model.name.as_str()).collect();
        let known = known.iter().take(KNOWN_NAMES_MAX).map(ToString::to_string).collect();
        return Err(Refusal::NoModel { asked: spec.model.clone(), known });
    };
    let session = Session {
        model: model.clone(),
        fixed: spec.fixed,
        need: spec.need,
        target: spec.target.clone(),
        claim: spec.claim,
        created: at,
        failures: BTreeMap::new(),
    };
    state.last_session = SessionId(state.last_session.0 + 1);
    state.sessions.insert(state.last_session, session);
    Ok(vec![Event::SessionCreated(state.last_session)])
}

fn check_numbers(spec: &SessionSpec) -> Result<(), Refusal> {
    let why = if spec.fixed == 0 {
        String::from("it asks for no worker; give --fixed 1 or more")
    } else if spec.fixed > FIXED_MAX {
        format!("it asks for {} workers; the most is {FIXED_MAX}", spec.fixed)
    } else if spec.need.cpu_millicores == 0 || spec.need.memory_bytes == 0 {
        String::from("a worker needs some cpu and some memory; give --cpu and --memory above zero")
    } else if spec.target.len() > KNOWN_NAMES_MAX * 8 {
        String::from("no target has so long a name")
    } else {
        return Ok(());
    };
    Err(Refusal::BadSession(why))
}

fn session_end(state: &mut State, session: SessionId) -> Result<Vec<Event>, Refusal> {
    state.sessions.remove(&session).ok_or(Refusal::NoSession(session))?;
    let mut events = vec![Event::SessionEnded(session)];
    events.extend(remove_workers(state, "its session ended", |worker| worker.session == session));
    Ok(events)
}

fn worker_report(
    state: &mut State,
    at: Millis,
    node: NodeId,
    id: WorkerId,
    report: &WorkerReport,
) -> Result<Vec<Event>, Refusal> {
    let worker = state.workers.get_mut(&id).filter(|worker| worker.node == node).ok_or(Refusal::NoWorker(id))?;
    let session = worker.session;
    match report {
        WorkerReport::Status(status) if worker.status == *status => Ok(vec![]),
        WorkerReport::Status(status) => {
            worker.status = *status;
            // A worker that is ready ends the row of failures, but not the hold-off that another worker has just caused.
            if let (WorkerStatus::Ready, Some(session)) = (status, state.sessions.get_mut(&session))
                && session.failures.get(&node).is_some_and(|failure| !failure.holds(at))
            {
                session.failures.remove(&node);
            }
            Ok(vec![Event::WorkerChanged(id)])
        }
        WorkerReport::Failed { reason } => {
            let reason = shorten(reason);
            if let Some(session) = state.sessions.get_mut(&session) {
                let times = session.failures.get(&node).map_or(0, |failure| failure.times);
                let failure = Failure { times: times.saturating_add(1), at, reason: reason.clone() };
                session.failures.insert(node, failure);
            }
            Ok(vec![remove_worker(state, id, &reason)])
        }
    }
}

fn shorten(reason: &str) -> String {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_string()
}

/// A plan was made on a snapshot. The naive way is to take it as it is, but the state may have moved on, and a policy
/// may be wrong: so each item is checked against the state it meets, and what no longer holds is refused alone.
fn change_plan(state: &mut State, at: Millis, plan: &Plan) -> Vec<Event> {
    let mut events = vec![];
    for worker in &plan.stop {
        if state.workers.contains_key(worker) {
            events.push(remove_worker(state, *worker, "the plan no longer needs it"));
        }
    }
    for placement in &plan.start {
        match feasible::check(state, at, placement) {
            Err(why) => events.push(Event::PlacementRefused { placement: placement.clone(), reason: why.to_string() }),
            Ok(session) => {
                let worker = Worker {
                    session: placement.session,
                    node: placement.node,
                    device: placement.device.clone(),
                    need: session.need,
                    status: WorkerStatus::Starting,
                };
                state.last_worker = WorkerId(state.last_worker.0 + 1);
                state.workers.insert(state.last_worker, worker);
                events.push(Event::WorkerPlanned(state.last_worker));
            }
        }
    }
    events
}

fn remove_workers(state: &mut State, reason: &str, which: impl Fn(&Worker) -> bool) -> Vec<Event> {
    let gone: Vec<WorkerId> = state.workers.iter().filter(|(_, worker)| which(worker)).map(|(id, _)| *id).collect();
    gone.into_iter().map(|id| remove_worker(state, id, reason)).collect()
}

fn remove_worker(state: &mut State, worker: WorkerId, reason: &str) -> Event {
    state.workers.remove(&worker);
    Event::WorkerRemoved { worker, reason: reason.into() }
}
