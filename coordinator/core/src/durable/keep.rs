//! What the leader owes durable streams: another gateway where theirs is lost, and an end where nobody comes for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::command::Command;
use crate::durable::TaskCommand;
use crate::ids::{NodeId, SessionId, StreamId};
use crate::state::State;
use crate::time::Millis;

/// The most streams that one command moves or ends, so that a log entry stays small; the rest follows in the next.
const STREAMS_A_COMMAND_MAX: usize = 256;

/// Streams whose gateway is lost get another.
pub fn next_move(state: &State) -> Option<Command> {
    let streams = moves(state);
    (!streams.is_empty()).then_some(Command::Tasks(TaskCommand::Move { streams }))
}

/// Streams that nobody came for are forgotten. It looks at every stream: not to be asked with every change.
pub fn next_expiry(state: &State, now: Millis) -> Option<Command> {
    let due = |expires: Millis| expires <= now;
    let expired = state.durable.streams().filter(|(_, stream)| stream.expires().is_some_and(due));
    let streams: Vec<StreamId> = expired.map(|(id, _)| id).take(STREAMS_A_COMMAND_MAX).collect();
    (!streams.is_empty()).then_some(Command::Tasks(TaskCommand::Expire { streams }))
}

/// Streams with pending tasks whose gateway is down or gone, each with the gateway it goes to: one that is up and has a worker
/// of its session, so that the payload travels once; among those, the one with the fewest streams.
fn moves(state: &State) -> Vec<(StreamId, NodeId)> {
    let is_up = |id: NodeId| state.nodes.get(&id).is_some_and(|node| node.up);
    let lost = state.durable.gateways().filter(|gateway| !is_up(*gateway));
    let orphans = lost.flat_map(|gateway| state.durable.streams_of(gateway)).filter(|(_, s)| !s.pending.is_empty());
    let orphans: Vec<(StreamId, SessionId)> =
        orphans.map(|(id, stream)| (id, stream.session)).take(STREAMS_A_COMMAND_MAX).collect();
    let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut given = Vec::with_capacity(orphans.len());
    for (stream, session) in orphans {
        let load = |id: NodeId| state.durable.count_of(id) + counts.get(&id).copied().unwrap_or(0);
        let holders = state.workers_of(session).filter(|(_, worker)| worker.serves()).map(|(_, worker)| worker.node);
        let near = holders.filter(|id| is_up(*id)).min_by_key(|id| (load(*id), *id));
        let up = || state.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id);
        let Some(to) = near.or_else(|| up().min_by_key(|id| (load(*id), *id))) else { break };
        *counts.entry(to).or_default() += 1;
        given.push((stream, to));
    }
    given
}
