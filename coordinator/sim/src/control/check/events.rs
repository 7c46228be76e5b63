//! The events of an entry: they tell of every change, each once, and new work stands where it may.

use std::collections::BTreeMap;

use skein_core::plan::{Change, Plan};
use skein_core::session::Hold;
use skein_core::worker::{Duty, Why, Worker};
use skein_core::{Command, Entry, Event, Millis, SessionId, State, WorkerId};

use super::mesh::{has_no_time_left, leaves_for, may_serve, target};

/// What the state held before an entry.
#[derive(Debug)]
pub(in crate::control) struct Before {
    pub(in crate::control) workers: BTreeMap<WorkerId, Worker>,
    /// Of all that there ever were.
    pub(in crate::control) newest_worker: WorkerId,
    /// How many workers each session was deprived of and has not made up for.
    pub(in crate::control) evicted: BTreeMap<SessionId, u32>,
}

pub(in crate::control) fn violations(before: &Before, state: &State, entry: &Entry, events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    told(before, state, events, &mut found);
    given_time(state, entry, events, &mut found);
    stopped(before, state, entry, &mut found);
    keeps_its_place(before, state, entry, &mut found);
    evicted(before, state, entry, events, &mut found);
    if let Command::WorkerReport { node, worker, .. } = &entry.command {
        let own = before.workers.get(worker).is_some_and(|known| known.node == *node);
        if !own {
            found.push(format!("node {node} was heard about worker {worker}, which is not its own"));
        }
    }
    for (id, worker) in &state.workers {
        match before.workers.get(id) {
            None => fresh(state, entry, *id, worker, &mut found),
            Some(known) if known.duty == Duty::Warm && worker.duty == Duty::Serving => {
                takes_up_work(state, entry, *id, worker, &mut found);
            }
            Some(known)
                if matches!(known.duty, Duty::Leaving { .. }) && !matches!(worker.duty, Duty::Leaving { .. }) =>
            {
                called_back(state, entry, *id, known, worker, &mut found);
            }
            Some(_) => {}
        }
    }
    found
}

/// What the workers would be by the events alone.
fn told(before: &Before, state: &State, events: &[Event], found: &mut Vec<String>) {
    let newest = before.newest_worker;
    let mut told: BTreeMap<WorkerId, Option<Duty>> =
        before.workers.iter().map(|(id, worker)| (*id, Some(worker.duty.clone()))).collect();
    for event in events {
        let known = match event {
            Event::WorkerPlanned { worker: id, .. } => {
                if *id <= newest || told.insert(*id, Some(Duty::Serving)).is_some() {
                    found.push(format!("worker {id} is planned under an id that was given out before"));
                }
                continue;
            }
            Event::WorkerRemoved { worker, .. } => told.remove(worker).is_some(),
            Event::WorkerReturned { worker: id, .. } => told.insert(*id, Some(Duty::Warm)).is_some(),
            Event::WorkerRevived { worker: id, .. } => told.insert(*id, Some(Duty::Serving)).is_some(),
            Event::WorkerLeaving { worker, until, why } => {
                told.insert(*worker, Some(Duty::Leaving { until: *until, why: *why })).is_some()
            }
            _ => true,
        };
        if !known {
            found.push(format!("{event:?}, and it was not there"));
        }
    }
    let is: BTreeMap<WorkerId, Option<Duty>> =
        state.workers.iter().map(|(id, worker)| (*id, Some(worker.duty.clone()))).collect();
    if told != is {
        found.push(format!("by the events the workers are {told:?}"));
    }
    let resized =
        |id: &WorkerId| events.iter().any(|event| matches!(event, Event::WorkerResized { worker, .. } if worker == id));
    for (id, worker) in &state.workers {
        if before.workers.get(id).is_some_and(|known| known.need != worker.need) && !resized(id) {
            found.push(format!("worker {id} was given something else, and nobody says so"));
        }
    }
}

/// Each eviction is counted until another worker serves in its place.
fn evicted(before: &Before, state: &State, entry: &Entry, events: &[Event], found: &mut Vec<String>) {
    if !matches!(entry.command, Command::Plan(_) | Command::Unblock { .. }) {
        return;
    }
    let mut counts = before.evicted.clone();
    // A worker may come and go in the same plan, and then nobody can say whose it was.
    let session = |id: &WorkerId| state.workers.get(id).or(before.workers.get(id)).map(|worker| worker.session);
    for event in events {
        let (id, more) = match event {
            Event::WorkerLeaving { worker, why: Why::Preempted { .. }, .. } => (worker, true),
            Event::WorkerPlanned { worker, .. } | Event::WorkerRevived { worker, .. } => (worker, false),
            _ => continue,
        };
        let Some(count) = session(id).and_then(|session| counts.get_mut(&session)) else { return };
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
    }
    let is = state.sessions.iter().map(|(id, session)| (*id, session.evicted)).collect();
    if counts != is {
        found.push(format!("evicted are {is:?}, and by the events {counts:?}"));
    }
}

/// No plan ends a worker that serves, or that has time left: it is asked to leave first.
fn stopped(before: &Before, state: &State, entry: &Entry, found: &mut Vec<String>) {
    if !matches!(entry.command, Command::Plan(_)) {
        return;
    }
    for (id, worker) in before.workers.iter().filter(|(id, _)| !state.workers.contains_key(id)) {
        let is_done = match worker.duty {
            Duty::Serving => false,
            Duty::Warm => true,
            Duty::Leaving { .. } => has_no_time_left(state, worker, entry.at),
        };
        let told_at_once = matches!(&entry.command, Command::Plan(plan) if plan.changes.iter().any(|change| match change {
            Change::Leave { worker: told, .. } => told == id && grace(state, worker) == Millis(0),
            Change::Return(worker) => worker == id,
            _ => false,
        }));
        if !is_done && !told_at_once {
            found.push(format!("worker {id} was ended, and was {:?}", worker.duty));
        }
    }
}

/// A session that keeps places to itself keeps one also when its worker there is gone, until it has another.
fn keeps_its_place(before: &Before, state: &State, entry: &Entry, found: &mut Vec<String>) {
    // A plan takes nothing from whoever serves: it has that leave, or give back its place, first.
    if matches!(entry.command, Command::Plan(_)) {
        return;
    }
    for (id, worker) in before.workers.iter().filter(|(id, _)| !state.workers.contains_key(id)) {
        let Some(session) = state.sessions.get(&worker.session).filter(|session| session.hold != Hold::Nothing) else {
            continue;
        };
        let own = || state.workers.values().filter(|other| other.session == worker.session);
        let serving = own().filter(|other| other.duty == Duty::Serving).count();
        let lacks = (target(session) as usize).saturating_sub(serving);
        let is_back = own().any(|other| other.node == worker.node && other.device == worker.device);
        let devices = state.nodes.get(&worker.node).map(|node| &node.spec.capability.devices);
        let is_there = devices.is_some_and(|devices| devices.iter().any(|device| device.name == worker.device));
        let is_kept = session.kept.contains(&(worker.node, worker.device.clone()));
        if worker.duty == Duty::Serving && is_there && !is_back && !is_kept && session.kept.len() < lacks {
            found.push(format!("worker {id} is gone, and session {} does not keep its place", worker.session));
        }
    }
}

/// Whoever has to leave by a plan has the time that its session asked for.
fn given_time(state: &State, entry: &Entry, events: &[Event], found: &mut Vec<String>) {
    for event in events.iter().filter(|_| matches!(entry.command, Command::Plan(_))) {
        if let Event::WorkerLeaving { worker: id, until, .. } = event
            && let Some(worker) = state.workers.get(id)
            && *until != entry.at + grace(state, worker)
        {
            found.push(format!("worker {id} gets another grace than its session asked for"));
        }
    }
}

fn grace(state: &State, worker: &Worker) -> Millis {
    state.sessions.get(&worker.session).map_or(Millis(0), |session| session.spec.grace)
}

/// Whoever has to leave is called back by the end of a drain, or by a plan if it was to leave for a session.
fn called_back(state: &State, entry: &Entry, id: WorkerId, was: &Worker, is: &Worker, found: &mut Vec<String>) {
    let is_planned = |plan: &Plan| plan.changes.contains(&Change::Recall(id));
    let may = match &entry.command {
        Command::Unblock { .. } => true,
        Command::Plan(plan) => is_planned(plan) && leaves_for(was).is_some() && is.duty == Duty::Serving,
        _ => false,
    };
    if !may {
        found.push(format!("worker {id} had to leave, and does not"));
    }
    if matches!(entry.command, Command::Plan(_)) {
        takes_up_work(state, entry, id, is, found);
    }
}

fn fresh(state: &State, entry: &Entry, id: WorkerId, worker: &Worker, found: &mut Vec<String>) {
    takes_up_work(state, entry, id, worker, found);
    let session = state.sessions.get(&worker.session);
    if session.is_none_or(|session| session.reserved != worker.need) || !matches!(entry.command, Command::Plan(_)) {
        found.push(format!("worker {id} is not what its session asked for"));
    }
}

fn takes_up_work(state: &State, entry: &Entry, id: WorkerId, worker: &Worker, found: &mut Vec<String>) {
    let session = state.sessions.get(&worker.session);
    let may = session.zip(state.nodes.get(&worker.node)).is_some_and(|(session, node)| {
        let device = node.spec.capability.devices.iter().find(|device| device.name == worker.device);
        device.is_some_and(|device| may_serve(session, node, worker.node, device, entry.at))
    });
    if !may {
        found.push(format!(
            "worker {id} takes up work on '{}' of {}, which may not serve it",
            worker.device, worker.node
        ));
    }
}
