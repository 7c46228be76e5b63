//! A mesh that is left to itself: plans are made and carried out, whoever has to leave does, and that comes to an end.

use skein_core::plan::{Change, Planner};
use skein_core::worker::{Duty, WorkerReport};
use skein_core::{Command, Entry, Event, Millis, NodeId, State, WorkerId, apply};

use super::mesh::{Mesh, target};
use super::rest;

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) rounds: u64,
    /// Workers that had to leave.
    pub(crate) evictions: usize,
    /// Those of them that came only since.
    of_new_ones: usize,
    pub(crate) violations: Vec<String>,
}

/// Plans until nothing is left to do, so many changes at a time, with the clock standing still.
pub(crate) fn settle(state: &mut State, now: Millis, changes_max: usize) -> Settled {
    let mut settled = Settled::default();
    let (workers, last) = (state.workers.len(), state.last_worker);
    let wanted: usize = state.sessions.values().map(|session| target(session) as usize).sum();
    // Each worker may have to go and each that is wanted to come, one at a time; and each may have to be resized.
    let rounds_max = 4 * (workers + wanted) as u64 + 20;
    let mut planner = Planner::default();
    loop {
        let plan = planner.plan(state, now, changes_max);
        settled.rounds += 1;
        if plan.is_empty() {
            if leave(state, now) {
                continue;
            }
            break;
        }
        if settled.rounds > rounds_max {
            settled.violations.push(format!("no rest after {rounds_max} rounds; it goes on with {plan:?}"));
            return settled;
        }
        for change in &plan.changes {
            if let Change::Leave { worker, .. } = change {
                settled.evictions += 1;
                settled.of_new_ones += usize::from(*worker > last);
            }
        }
        let events = apply(state, &Entry { at: now, command: Command::Plan(plan) });
        for event in events.iter().flatten().filter(|event| matches!(event, Event::ChangeRefused { .. })) {
            settled.violations.push(format!("a fresh plan is refused: {event:?}"));
        }
    }
    // Nobody has to go twice. And what is given out while somebody could not have his fixed worker may be what he then asks for,
    // as only what is beyond the fixed workers of others is theirs to lose: once for each worker that there is in the end.
    let (of_old_ones, of_new_ones) = (settled.evictions - settled.of_new_ones, settled.of_new_ones);
    if of_old_ones > workers {
        settled.violations.push(format!("{of_old_ones} evictions among {workers} workers"));
    }
    if of_new_ones > state.workers.len() {
        let came = state.workers.len();
        settled
            .violations
            .push(format!("{of_new_ones} evictions of such as had just come, for {came} workers in the end"));
    }
    settled.violations.extend(rest::violations(&Mesh::of(state, now)));
    settled
}

/// All who have to leave are done; whether there was one.
fn leave(state: &mut State, now: Millis) -> bool {
    let leaving = state.workers.iter().filter(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }));
    let leaving: Vec<(WorkerId, NodeId)> = leaving.map(|(id, worker)| (*id, worker.node)).collect();
    for (worker, node) in &leaving {
        let command = Command::WorkerReport { node: *node, worker: *worker, report: WorkerReport::Left };
        // It stands in the plan of that node, so nobody can refuse it.
        drop(apply(state, &Entry { at: now, command }));
    }
    !leaving.is_empty()
}
