//! Which workers should exist, and where: the leader's decision, in three stages.
//!
//! 1. [`reconcile`] finds what the plan lacks and what it has too much of;
//! 2. [`feasible`] says where a worker may stand;
//! 3. [`rank`] says which of those places is best.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, SessionId, WorkerId};
use crate::session::Failure;
use crate::state::State;
use crate::time::Millis;

pub mod feasible;
mod rank;
mod reconcile;

/// The most workers one plan starts: the rest follows in the next cycle, so that a log entry stays small.
const STARTS_MAX: usize = 256;

/// A change of the workers that should exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Workers to give up.
    pub stop: Vec<WorkerId>,
    /// Workers to start.
    pub start: Vec<Placement>,
}

/// A worker that should be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// For whom.
    pub session: SessionId,
    /// Where.
    pub node: NodeId,
    /// On which of the node's devices.
    pub device: alloc::string::String,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.stop.is_empty() && self.start.is_empty()
    }
}

/// What should change now. First come, first served: the oldest session is filled first, and one that cannot be filled
/// does not keep younger ones from what it cannot use.
///
/// Applying the plan and planning again at the same time gives an empty plan (a fixed point), as long as all that is
/// lacking fits in one plan.
pub fn plan(state: &State, now: Millis) -> Plan {
    // 1. What is too much or lacks?
    let difference = reconcile::difference(state);
    let mut plan = Plan { stop: difference.surplus, start: Vec::new() };
    // 2. Place one lacking worker after another on a copy that takes each placement in, so that the next one sees it.
    let mut trial = rank::Trial::new(state, &plan.stop);
    for (session, lacking) in difference.lacking {
        for _ in 0..lacking {
            if plan.start.len() == STARTS_MAX {
                return plan;
            }
            // 3. The best of the places where it may stand; where there is none, the session waits.
            let Some(placement) = trial.place(now, session) else {
                break;
            };
            plan.start.push(placement);
        }
    }
    plan
}

/// When planning again could give more without any change of state: the end of the first hold-off.
pub fn wake_at(state: &State, now: Millis) -> Option<Millis> {
    let lacking = reconcile::difference(state).lacking;
    let failures =
        lacking.iter().filter_map(|(session, _)| state.sessions.get(session)).flat_map(|s| s.failures.values());
    failures.filter(|failure| failure.holds(now)).map(Failure::until).min()
}
