//! What the sessions ask for, against what the plan holds.

use alloc::vec::Vec;

use crate::ids::{SessionId, WorkerId};
use crate::state::State;

/// The distance from what is to what should be.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Workers nobody asks for any more.
    pub(crate) surplus: Vec<WorkerId>,
    /// How many workers each session still lacks, oldest session first.
    pub(crate) lacking: Vec<(SessionId, usize)>,
}

pub(crate) fn difference(state: &State) -> Difference {
    let mut difference = Difference::default();
    for (id, session) in &state.sessions {
        let fixed = session.fixed as usize;
        let mut held = state.workers_of(*id).map(|(worker, _)| worker);
        let kept = held.by_ref().take(fixed).count();
        difference.surplus.extend(held);
        if kept < fixed {
            difference.lacking.push((*id, fixed - kept));
        }
    }
    difference
}
