//! Durable tasks are accepted, end and are fetched.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::apply::full;
use crate::command::Refusal;
use crate::durable::{
    Account, BATCH_MAX, BYTES_MAX, DurableStream, DurableTask, End, KEEP_MAX, Payload, STREAMS_MAX, TASKS_MAX,
    TaskCommand,
};
use crate::event::Event;
use crate::ids::{NodeId, Sequence, SessionId, StreamId};
use crate::state::State;
use crate::time::Millis;

/// Single tasks are no events of the mesh: there would be nothing else among those that are kept. Their stream has the account.
pub(super) fn tasks(state: &mut State, at: Millis, command: &TaskCommand) -> Result<Vec<Event>, Refusal> {
    match command {
        TaskCommand::Accept { stream, session, gateway, keep, first, tasks } => {
            let opening = Opening { session: *session, gateway: *gateway, keep: *keep };
            accept(state, at, *stream, &opening, *first, tasks)
        }
        TaskCommand::End { stream, tenure, ends } => end(state, at, *stream, *tenure, ends),
        TaskCommand::Checkpoint { stream, tenure, checkpoints } => checkpoint(state, at, *stream, *tenure, checkpoints),
        TaskCommand::Fetched { stream, sequences, close } => fetched(state, at, *stream, sequences, *close),
        TaskCommand::Move { streams } => Ok(move_to(state, streams)),
        TaskCommand::Expire { streams } => Ok(expire(state, at, streams)),
    }
}

/// How a stream begins, if it is new.
struct Opening {
    session: SessionId,
    gateway: NodeId,
    keep: Millis,
}

fn accept(
    state: &mut State,
    at: Millis,
    id: StreamId,
    opening: &Opening,
    first: Sequence,
    tasks: &[DurableTask],
) -> Result<Vec<Event>, Refusal> {
    if !state.sessions.contains_key(&opening.session) {
        return Err(Refusal::NoSession(opening.session));
    }
    if tasks.len() > BATCH_MAX {
        return Err(bad(alloc::format!("{} tasks came at once; the most is {BATCH_MAX}", tasks.len())));
    }
    tasks.iter().try_for_each(DurableTask::check).map_err(bad)?;
    let known = state.durable.stream(id);
    if let Some(known) = known
        && known.session != opening.session
    {
        return Err(bad(alloc::format!("the stream belongs to session {}", known.session)));
    }
    let next = known.map_or(0, |known| known.next.0);
    let Some(repeated) = next.checked_sub(first.0) else {
        return Err(bad(alloc::format!("tasks come from number {first} on, and {next} is the next")));
    };
    // Those that were accepted before are not accepted again.
    let repeated = usize::try_from(repeated).unwrap_or(usize::MAX).min(tasks.len());
    let new = &tasks[repeated..];
    let size = state.durable.size();
    if size.tasks + new.len() > TASKS_MAX {
        return Err(full("durable tasks", TASKS_MAX));
    }
    if size.bytes + new.iter().map(DurableTask::bytes).sum::<u64>() > BYTES_MAX {
        return Err(full("bytes of durable tasks", usize::try_from(BYTES_MAX).unwrap_or(usize::MAX)));
    }
    let mut events = vec![];
    if state.durable.stream(id).is_none() {
        if state.durable.streams().len() >= STREAMS_MAX {
            return Err(full("durable streams", STREAMS_MAX));
        }
        state.durable.insert(id, opened(at, opening));
        events.push(Event::StreamOpened { stream: id, session: opening.session, gateway: opening.gateway });
    }
    for task in new {
        state.durable.accept(id, task.clone());
    }
    touch(state, at, id);
    Ok(events)
}

fn opened(at: Millis, opening: &Opening) -> DurableStream {
    DurableStream {
        session: opening.session,
        gateway: opening.gateway,
        tenure: 1,
        next: Sequence(0),
        pending: alloc::collections::BTreeMap::new(),
        ended: alloc::collections::BTreeMap::new(),
        account: Account::default(),
        keep: opening.keep.min(KEEP_MAX),
        touched: at,
    }
}

fn end(
    state: &mut State,
    at: Millis,
    id: StreamId,
    tenure: u32,
    ends: &[(Sequence, End)],
) -> Result<Vec<Event>, Refusal> {
    if ends.len() > BATCH_MAX {
        return Err(bad(alloc::format!("{} tasks ended at once; the most is {BATCH_MAX}", ends.len())));
    }
    ends.iter().try_for_each(|(_, end)| end.check()).map_err(bad)?;
    let stream = state.durable.stream(id).ok_or(Refusal::NoStream(id))?;
    let (session, own, earlier) = (stream.session, stream.tenure == tenure, stream.tenure > tenure);
    let (mut fenced, mut repeated) = (0, 0);
    for (sequence, end) in ends {
        // A gateway that was given up may have gone on, cut off from the mesh. An answer of it is as good as any, for as long as the
        // task has none; that it failed there says nothing of elsewhere.
        let counts = own || (earlier && end.result.is_ok());
        let taken = counts && state.durable.end(id, *sequence, end.clone());
        fenced += u64::from(!taken);
        repeated += u64::from(!taken && end.result.is_ok());
    }
    if let Some(session) = state.sessions.get_mut(&session) {
        session.islands.repeated += repeated;
    }
    if let Some(stream) = state.durable.stream_mut(id) {
        stream.account.fenced += fenced;
    }
    touch(state, at, id);
    Ok(vec![])
}

/// A checkpoint only saves work: what comes from an earlier tenure, or for a task that has ended, is left alone.
fn checkpoint(
    state: &mut State,
    at: Millis,
    id: StreamId,
    tenure: u32,
    checkpoints: &[(Sequence, Payload)],
) -> Result<Vec<Event>, Refusal> {
    if checkpoints.len() > BATCH_MAX {
        return Err(bad(alloc::format!("{} checkpoints came at once; the most is {BATCH_MAX}", checkpoints.len())));
    }
    checkpoints.iter().try_for_each(|(_, checkpoint)| checkpoint.check()).map_err(bad)?;
    let stream = state.durable.stream(id).ok_or(Refusal::NoStream(id))?;
    let counts = stream.tenure == tenure;
    let bytes: u64 = checkpoints.iter().map(|(_, checkpoint)| checkpoint.inline_bytes()).sum();
    if state.durable.size().bytes + bytes > BYTES_MAX {
        return Err(full("bytes of durable tasks", usize::try_from(BYTES_MAX).unwrap_or(usize::MAX)));
    }
    for (sequence, checkpoint) in checkpoints.iter().filter(|_| counts) {
        state.durable.keep_checkpoint(id, *sequence, checkpoint.clone());
    }
    touch(state, at, id);
    Ok(vec![])
}

fn fetched(
    state: &mut State,
    at: Millis,
    id: StreamId,
    sequences: &[Sequence],
    close: bool,
) -> Result<Vec<Event>, Refusal> {
    if sequences.len() > BATCH_MAX {
        return Err(bad(alloc::format!("{} ends were fetched at once; the most is {BATCH_MAX}", sequences.len())));
    }
    state.durable.stream(id).ok_or(Refusal::NoStream(id))?;
    for sequence in sequences {
        state.durable.fetched(id, *sequence);
    }
    touch(state, at, id);
    let is_empty = state.durable.stream(id).is_some_and(|stream| stream.pending.is_empty() && stream.ended.is_empty());
    if close && is_empty {
        return Ok(forget(state, id, "its client has everything").into_iter().collect());
    }
    Ok(vec![])
}

/// A leader decides on what it knew; what changed meanwhile stays as it is.
fn move_to(state: &mut State, streams: &[(StreamId, NodeId)]) -> Vec<Event> {
    let mut events = vec![];
    for (id, to) in streams {
        let is_up = |id: NodeId| state.nodes.get(&id).is_some_and(|node| node.up);
        let Some(stream) = state.durable.stream(*id) else { continue };
        let from = stream.gateway;
        if is_up(from) || !is_up(*to) {
            continue;
        }
        if let Some(tenure) = state.durable.give(*id, *to) {
            events.push(Event::StreamMoved { stream: *id, from, to: *to, tenure });
        }
    }
    events
}

fn expire(state: &mut State, at: Millis, streams: &[StreamId]) -> Vec<Event> {
    let is_over = |state: &State, id: StreamId| {
        state.durable.stream(id).and_then(DurableStream::expires).is_some_and(|expires| expires <= at)
    };
    let over: Vec<StreamId> = streams.iter().copied().filter(|id| is_over(state, *id)).collect();
    over.into_iter().filter_map(|id| forget(state, id, "nobody came for it for as long as it is kept")).collect()
}

/// A session is over: what is pending ends with that.
pub(super) fn end_session(state: &mut State, at: Millis, session: SessionId) {
    let of_session = state.durable.streams().filter(|(_, stream)| stream.session == session);
    let of_session: Vec<(StreamId, u32)> = of_session.map(|(id, stream)| (id, stream.attempt_first())).collect();
    for (id, attempt) in of_session {
        let pending = state.durable.stream(id).map(|stream| stream.pending.keys().copied().collect::<Vec<_>>());
        for sequence in pending.unwrap_or_default() {
            let reason = alloc::format!("session {session} ended before the task did");
            state.durable.end(id, sequence, End { attempt, worker: None, run_micros: 0, result: Err(reason) });
        }
        touch(state, at, id);
    }
}

fn forget(state: &mut State, id: StreamId, reason: &str) -> Option<Event> {
    let stream = state.durable.remove(id)?;
    Some(Event::StreamClosed { stream: id, session: stream.session, account: stream.account, reason: reason.into() })
}

/// The clocks of two leaders may differ: the later one counts.
fn touch(state: &mut State, at: Millis, id: StreamId) {
    if let Some(stream) = state.durable.stream_mut(id) {
        stream.touched = stream.touched.max(at);
    }
}

fn bad(why: impl Into<String>) -> Refusal {
    Refusal::BadTasks(why.into())
}
