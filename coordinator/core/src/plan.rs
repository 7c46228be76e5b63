//! Which workers should exist, and where: the leader's decision, in stages.
//!
//! 1. [`places`] follows the state: every place, what stands there, and in which order places are taken;
//! 2. [`reconcile`] finds what is over or too much, and, after 3, what is too small;
//! 3. [`fixed`] gives sessions their fixed workers in the order of the policy, [`request`] finding the best place for each
//!    and [`evict`] whoever has to leave for it;
//! 4. [`share`] shares out what is spare.
//!
//! [`feasible`] is what holds whatever a policy says: `apply` checks it again.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, SessionId, WorkerId};
use crate::resources::Resources;
use crate::session::Failure;
use crate::state::State;
use crate::time::Millis;
use crate::worker::Why;
use cycle::Cycle;
use places::Places;

mod class;
mod cycle;
mod evict;
pub mod feasible;
mod fixed;
mod loaded;
mod needs;
mod places;
mod reconcile;
mod request;
mod share;
pub(crate) mod weigh;

/// The most changes one plan of a running mesh makes: the rest follows in the next cycle, so that a log entry stays small.
pub const CHANGES_MAX: usize = 256;
/// A session that lacked a fixed worker for so long has a place kept free for it: long enough that those who run may well
/// have ended, short enough that a person who waits still does.
pub const STARVES_AFTER: Millis = Millis(60_000);

/// Changes of the workers that should exist, in the order in which they are to be made. Each is checked again, alone,
/// against the state it meets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// First to last.
    pub changes: Vec<Change>,
}

/// One change of the workers that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A worker goes now: its time to leave is over, or its room is needed and it is only kept warm.
    Stop(WorkerId),
    /// A worker that serves has to leave, at the latest when its session's grace is over.
    Leave {
        /// Which.
        worker: WorkerId,
        /// Why.
        why: Why,
    },
    /// A worker that serves is given back, and stays loaded until its room is needed.
    Return(WorkerId),
    /// A worker that was given back serves again.
    Revive(WorkerId),
    /// A worker that has to leave stays: the session it leaves for has what it lacked, or is over.
    Recall(WorkerId),
    /// A worker is given more or less.
    Resize {
        /// Which.
        worker: WorkerId,
        /// So much.
        need: Resources,
    },
    /// A worker starts.
    Start(Placement),
}

/// A worker that should be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// For whom.
    pub session: SessionId,
    /// Where.
    pub node: NodeId,
    /// On which of the node's devices.
    pub device: String,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The workers it starts.
    pub fn starts(&self) -> impl Iterator<Item = &Placement> {
        self.changes.iter().filter_map(|change| match change {
            Change::Start(placement) => Some(placement),
            _ => None,
        })
    }
}

/// The leader's planner: what it learnt of the state, kept from one cycle to the next so that a small change is planned
/// in little time. It follows one state as that changes: another state needs another planner.
#[derive(Debug, Default)]
pub struct Planner {
    places: Places,
}

impl Planner {
    /// What should change now, at most so many changes; the rest follows in the next cycle.
    ///
    /// Applying the plan and planning again at the same time comes to rest (a fixed point): most often at once, and within a
    /// few rounds where a change gives somebody who was looked at before a reason to move.
    pub fn plan(&mut self, state: &State, now: Millis, changes_max: usize) -> Plan {
        // 1. What changed since the last cycle?
        self.places.follow(state);
        let mut cycle = Cycle::new(state, now, &mut self.places, changes_max);
        decide(&mut cycle, None);
        Plan { changes: cycle.into_changes() }
    }
}

/// The rest of a cycle; up to the turn of one session where one is named.
fn decide(cycle: &mut Cycle, up_to: Option<SessionId>) {
    // 2. What is over, too much, or of the wrong size?
    reconcile::end_leaving(cycle);
    reconcile::give_back(cycle);
    reconcile::shrink(cycle);
    // 3. What is promised: the fixed workers.
    if fixed::fill(cycle, up_to).is_break() {
        return;
    }
    // 4. Who needs more than he has: in what nobody lacks, nor waits for.
    let mut requests = share::Requests::default();
    share::keep_left(cycle, &mut requests);
    reconcile::grow(cycle);
    // 5. What is spare.
    share::share_out(cycle, &mut requests, up_to);
}

/// What should change now, decided from nothing.
pub fn plan(state: &State, now: Millis) -> Plan {
    Planner::default().plan(state, now, CHANGES_MAX)
}

/// When planning again could give more without any change of the state: a worker's time to leave is over, a hold-off ends,
/// or a session has waited long.
pub fn wake_at(state: &State, now: Millis) -> Option<Millis> {
    let leaving = state.index().leaving().map(|(until, _)| until).find(|until| *until > now);
    let waiting = state.sessions.iter().filter(|(id, session)| state.index().serving(**id) < session.target());
    let waiting = waiting.flat_map(|(_, session)| {
        let hold_offs = session.failures.values().filter(|failure| failure.holds(now)).map(Failure::until);
        let starves = session.starves_from(now).filter(|from| *from > now);
        hold_offs.chain(starves)
    });
    waiting.chain(leaving).min()
}
