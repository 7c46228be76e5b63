//! What would happen if a session were opened: the plan that would be made, those who would have to leave for it, and what follows
//! from that.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::apply::apply;
use crate::command::{Command, Entry, Refusal};
use crate::explain::{self, Explanation};
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::{Change, Placement, Plan, Planner};
use crate::session::SessionSpec;
use crate::state::State;
use crate::time::Millis;
use crate::worker::{Duty, Why, WorkerReport, WorkerStatus};

/// How far it is looked ahead. Whoever has to leave may take the place of somebody of a still lower priority, and so on; that far
/// no mesh was seen to go.
const STEPS_MAX: usize = 8;

/// What would happen if a session were opened now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The number it would get.
    pub session: SessionId,
    /// Where its workers would start at once.
    pub starts: Vec<Placement>,
    /// Workers that would have to leave for it.
    pub victims: Vec<Victim>,
    /// What would follow, each step once those of the one before have left and started: of all sessions.
    pub then: Vec<Step>,
    /// Whether more would follow than that.
    pub goes_on: bool,
    /// How the mesh's places look to it before that.
    pub explanation: Explanation,
}

/// One step of what would follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Workers that would start.
    pub starts: Vec<Placement>,
    /// Workers that would have to leave.
    pub victims: Vec<Victim>,
}

/// A worker that would have to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Which.
    pub worker: WorkerId,
    /// Whose.
    pub session: SessionId,
    /// Where.
    pub node: NodeId,
    /// On which device.
    pub device: alloc::string::String,
    /// Why.
    pub why: Why,
    /// The time it would have to finish.
    pub grace: Millis,
}

/// What would happen if this session were opened now. Nothing changes.
pub fn forecast(state: &State, now: Millis, spec: &SessionSpec) -> Result<Forecast, Refusal> {
    let mut trial = state.clone();
    let spec = SessionSpec { claim: None, ..spec.clone() };
    apply(&mut trial, &Entry { at: now, command: Command::SessionCreate(spec) })?;
    let session = trial.last_session;
    let mut planner = Planner::default();
    let plan = planner.plan(&trial, now, usize::MAX);
    let starts = plan.starts().filter(|placement| placement.session == session).cloned().collect();
    let victims = victims_of(&trial, &plan).into_iter().filter(|victim| is_for(victim, session)).collect();
    let explanation = explain::session(&trial, now, session).ok_or(Refusal::NoSession(session))?;
    carry_out(&mut trial, now, plan)?;
    let mut then = Vec::new();
    for _ in 0..STEPS_MAX {
        let plan = planner.plan(&trial, now, usize::MAX);
        if plan.is_empty() {
            break;
        }
        let step = Step { starts: plan.starts().cloned().collect(), victims: victims_of(&trial, &plan) };
        if !(step.starts.is_empty() && step.victims.is_empty()) {
            then.push(step);
        }
        carry_out(&mut trial, now, plan)?;
    }
    let goes_on = !planner.plan(&trial, now, usize::MAX).is_empty();
    Ok(Forecast { session, starts, victims, then, goes_on, explanation })
}

/// The plan is made, those who have to leave have left, and those who start are ready.
fn carry_out(trial: &mut State, now: Millis, plan: Plan) -> Result<(), Refusal> {
    let apply = |trial: &mut State, command| apply(trial, &Entry { at: now, command }).map(drop);
    apply(trial, Command::Plan(plan))?;
    let due = |(id, worker): (&WorkerId, &crate::worker::Worker)| {
        let report = match (&worker.duty, worker.status) {
            (Duty::Leaving { why: Why::Preempted { .. } | Why::Reclaimed { .. }, .. }, _) => WorkerReport::Left,
            (_, WorkerStatus::Starting) => WorkerReport::Status(WorkerStatus::Ready),
            _ => return None,
        };
        Some(Command::WorkerReport { node: worker.node, worker: *id, report })
    };
    let reports: Vec<Command> = trial.workers.iter().filter_map(due).collect();
    reports.into_iter().try_for_each(|report| apply(trial, report))
}

fn victims_of(state: &State, plan: &Plan) -> Vec<Victim> {
    let victim = |change: &Change| {
        let Change::Leave { worker: id, why } = change else { return None };
        let worker = state.workers.get(id)?;
        Some(Victim {
            worker: *id,
            session: worker.session,
            node: worker.node,
            device: worker.device.clone(),
            why: *why,
            grace: state.grace_of(worker),
        })
    };
    plan.changes.iter().filter_map(victim).collect()
}

fn is_for(victim: &Victim, session: SessionId) -> bool {
    matches!(victim.why, Why::Preempted { by } | Why::Reclaimed { by } if by == session)
}
