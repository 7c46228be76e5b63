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
    pub(crate) violations: Vec<String>,
}

/// Plans until nothing is left to do, so many changes at a time, with the clock standing still.
pub(crate) fn settle(state: &mut State, now: Millis, changes_max: usize) -> Settled {
    let mut settled = Settled::default();
    let workers = state.workers.len();
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
        settled.evictions += plan.changes.iter().filter(|change| matches!(change, Change::Leave { .. })).count();
        let events = apply(state, &Entry { at: now, command: Command::Plan(plan) });
        for event in events.iter().flatten().filter(|event| matches!(event, Event::ChangeRefused { .. })) {
            settled.violations.push(format!("a fresh plan is refused: {event:?}"));
        }
    }
    if settled.evictions > workers {
        settled.violations.push(format!("{} evictions among {workers} workers", settled.evictions));
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
