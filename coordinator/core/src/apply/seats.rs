//! What the mesh agrees on about who votes. Who does vote is the log's own affair, and not in the state.

use alloc::vec;
use alloc::vec::Vec;

use crate::apply::nodes;
use crate::command::Refusal;
use crate::event::Event;
use crate::ids::{MeshId, NodeId};
use crate::seats::{RECOVERIES_MAX, Recovery, Rules};
use crate::state::State;
use crate::time::Millis;

pub(super) fn set(state: &mut State, rules: Rules) -> Result<Vec<Event>, Refusal> {
    if !rules.within_bounds() {
        return Err(Refusal::BadRules(rules));
    }
    state.seats.rules = rules;
    Ok(vec![Event::SeatsSet(rules)])
}

/// Whether another can take its place is the leader's to know, before it proposes this.
pub(super) fn evict(state: &mut State, node: NodeId) -> Result<Vec<Event>, Refusal> {
    if !state.nodes.contains_key(&node) {
        return Err(Refusal::NoNode(node));
    }
    let is_new = state.seats.evicted.insert(node);
    Ok(is_new.then_some(Event::SeatEvicted(node)).into_iter().collect())
}

pub(super) fn allow(state: &mut State, node: NodeId) -> Result<Vec<Event>, Refusal> {
    if !state.nodes.contains_key(&node) {
        return Err(Refusal::NoNode(node));
    }
    if !state.seats.evicted.remove(&node) {
        return Err(Refusal::NotEvicted(node));
    }
    Ok(vec![Event::SeatAllowed(node)])
}

/// The mesh has another name from now on, so that whoever is still in the old one is told apart. All others are down until they
/// are heard in the new one: who is left is not known, and nobody should wait for the lost.
pub(super) fn recover(state: &mut State, at: Millis, mesh: MeshId, by: NodeId) -> Result<Vec<Event>, Refusal> {
    if !state.nodes.contains_key(&by) {
        return Err(Refusal::NoNode(by));
    }
    let from = state.mesh.replace(mesh);
    let recoveries = &mut state.seats.recoveries;
    recoveries.extend(from.map(|from| Recovery { from, by, at }));
    let surplus = recoveries.len().saturating_sub(RECOVERIES_MAX);
    recoveries.drain(..surplus);
    // Who was evicted stays so, but for the one that is left to vote.
    state.seats.evicted.remove(&by);
    let mut events = vec![Event::Recovered { from, mesh, by }];
    let others: Vec<NodeId> = state.nodes.keys().copied().filter(|node| *node != by).collect();
    for node in others {
        events.extend(nodes::down(state, at, node)?);
    }
    Ok(events)
}
