//! Sessions open, change their wants, and end.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::apply::{KNOWN_NAMES_MAX, durable, full, note_lacking, workers};
use crate::command::Refusal;
use crate::event::Event;
use crate::ids::{SessionId, WorkerId};
use crate::island::IslandAccount;
use crate::plan::feasible;
use crate::resources::Resources;
use crate::session::{Session, SessionSpec};
use crate::state::{SESSIONS_MAX, State};
use crate::time::Millis;

/// After a worker ran out of memory the next ones get half as much again: enough to get past most peaks in a step or two.
const MEMORY_RAISE_PERCENT: u64 = 150;

pub(super) fn create(state: &mut State, at: Millis, spec: &SessionSpec) -> Result<Vec<Event>, Refusal> {
    spec.check().map_err(Refusal::BadSession)?;
    let same = |session: &Session| spec.claim.is_some() && session.spec.claim == spec.claim;
    if let Some((known, session)) = state.sessions.iter().find(|(_, session)| same(session)) {
        if session.spec != *spec {
            return Err(Refusal::BadSession(format!(
                "session {known} was opened with the same claim, and asks for something else"
            )));
        }
        return Ok(vec![Event::SessionKnown(*known)]);
    }
    if state.sessions.len() >= SESSIONS_MAX {
        return Err(full("open sessions", SESSIONS_MAX));
    }
    let session = session(state, at, spec)?;
    if spec.refuse_unfit
        && let Some(why) = feasible::never_fits(state, &session)
    {
        return Err(Refusal::NeverFits(why));
    }
    state.last_session = SessionId(state.last_session.0 + 1);
    state.sessions.insert(state.last_session, session);
    note_lacking(state, at, state.last_session);
    Ok(vec![Event::SessionCreated(state.last_session)])
}

fn session(state: &State, at: Millis, spec: &SessionSpec) -> Result<Session, Refusal> {
    let Some((model, _)) = state.find_model(&spec.model) else {
        let known: BTreeSet<&str> = state.models.keys().map(|model| model.name.as_str()).collect();
        let known = known.iter().take(KNOWN_NAMES_MAX).map(ToString::to_string).collect();
        return Err(Refusal::NoModel { asked: spec.model.clone(), known });
    };
    let policy = spec.policy.unwrap_or(state.policy);
    Ok(Session {
        model: model.clone(),
        policy,
        hold: spec.hold.clone().unwrap_or_else(|| policy.policy().hold()),
        created: at,
        reserved: spec.need.clone(),
        wanted: 0,
        evicted: 0,
        lacking_since: None,
        failures: BTreeMap::new(),
        kept: Vec::new(),
        islands: IslandAccount::default(),
        spec: spec.clone(),
    })
}

pub(super) fn end(state: &mut State, at: Millis, id: SessionId) -> Result<Vec<Event>, Refusal> {
    if state.end_session(id).is_none() {
        // Whoever asks once more, because no answer came, has what it asked for.
        return if id <= state.last_session && id != SessionId(0) { Ok(vec![]) } else { Err(Refusal::NoSession(id)) };
    }
    let mut events = vec![Event::SessionEnded(id)];
    let gone: Vec<WorkerId> = state.workers_of(id).map(|(worker, _)| worker).collect();
    events.extend(workers::remove_all(state, at, gone, "its session ended"));
    durable::end_session(state, at, id);
    Ok(events)
}

pub(super) fn want(state: &mut State, id: SessionId, workers: u32) -> Result<Vec<Event>, Refusal> {
    let session = state.sessions.get_mut(&id).ok_or(Refusal::NoSession(id))?;
    let workers = workers.min(session.workers_max());
    if session.wanted == workers {
        return Ok(vec![]);
    }
    session.wanted = workers;
    state.release_surplus(id);
    Ok(vec![Event::SessionWants { session: id, workers }])
}

pub(super) fn reserve(state: &mut State, id: SessionId, reserved: &Resources) -> Result<Vec<Event>, Refusal> {
    let session = state.sessions.get(&id).ok_or(Refusal::NoSession(id))?;
    let reserved = feasible::within_reach(state, session, reserved);
    Ok(change_reserved(state, id, reserved, "by the measured use of its workers").into_iter().collect())
}

/// A worker of the session ran out of so much memory: whether the next ones get more, and the change that takes. Several
/// that run out at the same time had the same, and are one reason to raise it.
pub(super) fn raise_memory(state: &mut State, id: SessionId, had: &Resources) -> (bool, Option<Event>) {
    let Some(session) = state.sessions.get(&id) else { return (false, None) };
    let mut reserved = session.reserved.clone();
    let raised = had.memory_bytes.saturating_mul(MEMORY_RAISE_PERCENT) / 100;
    reserved.memory_bytes = reserved.memory_bytes.max(raised);
    let reserved = feasible::within_reach(state, session, &reserved);
    let gets_more = reserved.memory_bytes > had.memory_bytes;
    (gets_more, change_reserved(state, id, reserved, "a worker ran out of memory"))
}

fn change_reserved(state: &mut State, id: SessionId, reserved: Resources, reason: &str) -> Option<Event> {
    let session = state.sessions.get_mut(&id).filter(|session| session.reserved != reserved)?;
    session.reserved = reserved.clone();
    Some(Event::SessionReserved { session: id, reserved, reason: String::from(reason) })
}
