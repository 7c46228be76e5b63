//! Workers: what their nodes say of them, and how they leave the plan.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::apply::{note_lacking, sessions, shorten};
use crate::command::Refusal;
use crate::event::Event;
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::session::Failure;
use crate::state::State;
use crate::time::Millis;
use crate::worker::{Duty, WorkerReport, WorkerStatus};

/// What a node is told that says its worker ran out of memory.
const OUT_OF_MEMORY: &str = "it used more memory than there was, and the system ended it";

pub(super) fn report(
    state: &mut State,
    at: Millis,
    node: NodeId,
    id: WorkerId,
    report: &WorkerReport,
) -> Result<Vec<Event>, Refusal> {
    let worker = state.workers.get(&id).filter(|worker| worker.node == node).ok_or(Refusal::NoWorker(id))?;
    let session = worker.session;
    match report {
        WorkerReport::Status(known) if worker.status == *known => Ok(vec![]),
        WorkerReport::Status(status) => Ok(vec![change_status(state, at, id, *status)]),
        WorkerReport::AtStake(length) => {
            if worker.at_stake == *length {
                return Ok(vec![]);
            }
            state.change_worker(id, |worker| worker.at_stake = *length);
            Ok(vec![Event::WorkerAtStake { worker: id, length: *length }])
        }
        WorkerReport::Left => match worker.duty {
            Duty::Leaving { .. } => Ok(remove(state, at, id, "it has finished what it had").into_iter().collect()),
            // It was called back meanwhile.
            _ => Ok(vec![]),
        },
        WorkerReport::Failed { reason } => {
            let reason = shorten(reason);
            note_failure(state, at, session, node, &reason);
            Ok(remove(state, at, id, &reason).into_iter().collect())
        }
        WorkerReport::OutOfMemory => {
            let had = worker.need.clone();
            // It may have room to grow into; where it has none, the place is passed over as after any failure.
            let (gets_more, raised) = sessions::raise_memory(state, session, &had);
            if !gets_more {
                note_failure(state, at, session, node, OUT_OF_MEMORY);
            }
            let mut events: Vec<Event> = raised.into_iter().collect();
            events.extend(remove(state, at, id, OUT_OF_MEMORY));
            Ok(events)
        }
    }
}

fn change_status(state: &mut State, at: Millis, id: WorkerId, status: WorkerStatus) -> Event {
    state.change_worker(id, |worker| worker.status = status);
    // A worker that is ready does not end the row of failures by that: one that starts and then crashes would be tried again
    // and again without ever backing off.
    if let (WorkerStatus::Ready, Some(worker)) = (status, state.workers.get(&id))
        && let Some(session) = state.sessions.get_mut(&worker.session)
    {
        session.failures.retain(|_, failure| !failure.is_over(at));
    }
    Event::WorkerChanged { worker: id, status }
}

fn note_failure(state: &mut State, at: Millis, session: SessionId, node: NodeId, reason: &str) {
    if let Some(session) = state.sessions.get_mut(&session) {
        session.failures.retain(|_, failure| !failure.is_over(at));
        let times = session.failures.get(&node).map_or(0, |failure| failure.times);
        let failure = Failure { times: times.saturating_add(1), at, reason: String::from(reason) };
        session.failures.insert(node, failure);
    }
}

pub(super) fn remove_all(state: &mut State, at: Millis, which: Vec<WorkerId>, reason: &str) -> Vec<Event> {
    which.into_iter().filter_map(|id| remove(state, at, id, reason)).collect()
}

pub(super) fn remove(state: &mut State, at: Millis, id: WorkerId, reason: &str) -> Option<Event> {
    let worker = state.take_worker(id)?;
    // One that had to leave, or was given back, leaves its place to others.
    if worker.serves() {
        state.keep_place(&worker);
    }
    note_lacking(state, at, worker.session);
    Some(Event::WorkerRemoved { worker: id, session: worker.session, reason: reason.into() })
}
