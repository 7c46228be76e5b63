//! Carries out what the leader planned.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::apply::{note_lacking, workers};
use crate::event::Event;
use crate::ids::{SessionId, WorkerId};
use crate::plan::feasible::{self, Unfit};
use crate::plan::{Change, Placement, Plan};
use crate::resources::Resources;
use crate::state::State;
use crate::time::Millis;
use crate::worker::{Duty, Why, Worker, WorkerStatus};

/// A plan was made on a snapshot. The naive way is to take it as it is, but the state may have moved on, and a policy
/// may be wrong: so each item is checked against the state it meets, and what no longer holds is refused alone.
pub(super) fn carry_out(state: &mut State, at: Millis, plan: &Plan) -> Vec<Event> {
    let mut events = vec![];
    for change in &plan.changes {
        match make(state, at, change) {
            Ok(event) => events.extend(event),
            Err(unfit) => events.push(Event::ChangeRefused { change: change.clone(), reason: unfit.to_string() }),
        }
    }
    events
}

fn make(state: &mut State, at: Millis, change: &Change) -> Result<Option<Event>, Unfit> {
    match change {
        Change::Stop(worker) => stop(state, at, *worker),
        Change::Leave { worker, why } => leave(state, at, *worker, *why).map(Some),
        Change::Return(worker) => {
            let session = expect(state, *worker, Worker::serves)?.session;
            set_duty(state, at, *worker, Duty::Warm);
            Ok(Some(Event::WorkerReturned { worker: *worker, session }))
        }
        Change::Revive(worker) => revive(state, at, *worker).map(Some),
        Change::Recall(worker) => recall(state, at, *worker).map(Some),
        Change::Resize { worker, need } => resize(state, *worker, need).map(Some),
        Change::Start(placement) => start(state, at, placement).map(Some),
    }
}

fn expect(state: &State, id: WorkerId, is_so: impl FnOnce(&Worker) -> bool) -> Result<&Worker, Unfit> {
    let worker = state.workers.get(&id).ok_or(Unfit::NoWorker(id))?;
    if is_so(worker) { Ok(worker) } else { Err(Unfit::WrongDuty(id)) }
}

/// Whoever serves is not stopped: it is asked to leave first.
fn stop(state: &mut State, at: Millis, id: WorkerId) -> Result<Option<Event>, Unfit> {
    let is_done = |worker: &Worker| worker.duty == Duty::Warm || worker.is_overdue(at, state.grace_of(worker));
    let worker = expect(state, id, is_done)?;
    let reason = match &worker.duty {
        Duty::Leaving { why, .. } => why.to_string(),
        Duty::Serving | Duty::Warm => "it was only kept warm, and the room is needed".into(),
    };
    Ok(workers::remove(state, at, id, &reason))
}

fn leave(state: &mut State, at: Millis, id: WorkerId, why: Why) -> Result<Event, Unfit> {
    let grace = state.grace_of(expect(state, id, Worker::serves)?);
    let until = at + grace;
    set_duty(state, at, id, Duty::Leaving { until, why });
    if let (Why::Preempted { .. }, Some(worker)) = (why, state.workers.get(&id))
        && let Some(session) = state.sessions.get_mut(&worker.session)
    {
        session.evicted = session.evicted.saturating_add(1);
    }
    Ok(Event::WorkerLeaving { worker: id, until, why })
}

fn revive(state: &mut State, at: Millis, id: WorkerId) -> Result<Event, Unfit> {
    expect(state, id, |worker| worker.duty == Duty::Warm)?;
    take_up(state, at, id)
}

/// One that leaves with a drain is called back by the end of that alone.
fn recall(state: &mut State, at: Millis, id: WorkerId) -> Result<Event, Unfit> {
    let worker = expect(state, id, |worker| worker.duty.leaves_for().is_some())?;
    if let Duty::Leaving { why, .. } = worker.duty {
        feasible::leaves_for_nothing(state, why)?;
    }
    take_up(state, at, id)
}

/// A worker serves again. It is there already, so what is left to ask is whether work may be placed there still.
fn take_up(state: &mut State, at: Millis, id: WorkerId) -> Result<Event, Unfit> {
    let worker = expect(state, id, |worker| !worker.serves())?;
    let session = state.sessions.get(&worker.session).ok_or(Unfit::NoSession(worker.session))?;
    if state.index().serving(worker.session) >= session.workers_max() {
        return Err(Unfit::SessionFull(worker.session));
    }
    let node = state.nodes.get(&worker.node).ok_or(Unfit::NoNode(worker.node))?;
    let device = node.spec.capability.device(&worker.device);
    let device = device.ok_or_else(|| Unfit::NoDevice(worker.device.clone()))?;
    feasible::node_may_serve(session, node, at)?;
    feasible::device_may_serve(session, node, device)?;
    let (session, reason) = (worker.session, why_one_more(state, worker.session));
    set_duty(state, at, id, Duty::Serving);
    Ok(Event::WorkerRevived { worker: id, session, reason })
}

fn resize(state: &mut State, id: WorkerId, need: &Resources) -> Result<Event, Unfit> {
    let worker = expect(state, id, Worker::serves)?;
    let session = state.sessions.get(&worker.session).ok_or(Unfit::NoSession(worker.session))?;
    if session.reserved != *need {
        return Err(Unfit::WrongDuty(id));
    }
    let node = state.nodes.get(&worker.node).ok_or(Unfit::NoNode(worker.node))?;
    let device = node.spec.capability.device(&worker.device);
    let device = device.ok_or_else(|| Unfit::NoDevice(worker.device.clone()))?;
    feasible::has_room(need, &state.room(node, device).plus(&worker.need))?;
    state.change_worker(id, |worker| worker.need = need.clone());
    Ok(Event::WorkerResized { worker: id, need: need.clone() })
}

fn start(state: &mut State, at: Millis, placement: &Placement) -> Result<Event, Unfit> {
    let session = feasible::check(state, at, placement)?;
    let reason = why_one_more(state, placement.session);
    let worker = Worker {
        session: placement.session,
        node: placement.node,
        device: placement.device.clone(),
        need: session.reserved.clone(),
        status: WorkerStatus::Starting,
        duty: Duty::Serving,
        at_stake: Millis(0),
    };
    for keeper in state.keepers_of(placement.session, placement.node, &placement.device) {
        state.release_place(keeper, placement.node, &placement.device);
    }
    state.last_worker = WorkerId(state.last_worker.0 + 1);
    state.insert_worker(state.last_worker, worker);
    note_lacking(state, at, placement.session);
    made_up_for(state, placement.session);
    Ok(Event::WorkerPlanned {
        worker: state.last_worker,
        session: placement.session,
        node: placement.node,
        device: placement.device.clone(),
        reason,
    })
}

/// For what a session gets one more worker.
fn why_one_more(state: &State, id: SessionId) -> String {
    let (fixed, wanted) = state.sessions.get(&id).map_or((0, 0), |session| (session.spec.fixed, session.wanted));
    match state.index().serving(id) {
        serving if serving < fixed => format!("its session has {serving} of its {fixed} fixed workers"),
        serving => format!("its session has {serving} of the {wanted} workers that its tasks could keep busy"),
    }
}

/// A worker is there for something else from now on.
pub(super) fn set_duty(state: &mut State, at: Millis, id: WorkerId, duty: Duty) {
    let serves = duty == Duty::Serving;
    state.change_worker(id, |worker| worker.duty = duty);
    let session = state.workers.get(&id).map(|worker| worker.session);
    if let Some(session) = session {
        note_lacking(state, at, session);
        if serves {
            made_up_for(state, session);
        }
    }
}

/// One more worker serves where some had been evicted.
fn made_up_for(state: &mut State, id: SessionId) {
    if let Some(session) = state.sessions.get_mut(&id) {
        session.evicted = session.evicted.saturating_sub(1);
    }
}
