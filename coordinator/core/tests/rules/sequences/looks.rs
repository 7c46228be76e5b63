//! Whoever only looks at a state: whatever led to it, none of them may panic.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::adapt::{Adapt, Usage};
use skein_core::demand::{Demand, Pending};
use skein_core::durable::keep;
use skein_core::session::SessionSpec;
use skein_core::{Millis, State, explain, health, plan, seats};

use crate::mesh;

/// Every decision and explanation that is made from the state alone.
pub(super) fn at_everything(state: &State, now: Millis) {
    let _ = (health::next_command(state, now), health::wake_at(state), plan::wake_at(state, now));
    let _ = (keep::next_move(state), keep::next_expiry(state, now));
    for id in state.sessions.keys() {
        let _ = explain::session(state, now, *id);
    }
    for id in state.workers.keys() {
        let _ = explain::worker(state, now, *id);
    }
    let _ = explain::forecast(state, now, &SessionSpec { priority: 90, ..mesh::session(2) });
    who_votes(state, now);
    what_was_observed(state, now);
}

fn who_votes(state: &State, now: Millis) {
    let Some(leader) = state.nodes.keys().next().copied() else { return };
    let (voters, learners, behind) = (BTreeSet::from([leader]), BTreeSet::new(), BTreeMap::new());
    let view = seats::View { state, leader, voters: &voters, learners: &learners, behind: &behind, now };
    let _ = (seats::next_change(&view), seats::may_evict(&view, leader), seats::waiting(&view));
}

fn what_was_observed(state: &State, now: Millis) {
    let (mut demand, mut adapt) = (Demand::default(), Adapt::default());
    for session in state.sessions.keys() {
        for gateway in state.nodes.keys() {
            demand.observe(now, *gateway, *session, Pending { waiting: u64::MAX, running: u64::MAX });
        }
    }
    for worker in state.workers.keys() {
        adapt.observe(now, *worker, Usage { cpu_millicores: u64::MAX, memory_bytes: u64::MAX, ..Usage::default() });
    }
    for later in [now, now + Millis(1_000), Millis(u64::MAX)] {
        let _ = (demand.next_command(later, state), adapt.next_command(later, state));
        let _ = (demand.wake_at(), adapt.wake_at());
    }
}
