//! What could not be had in a cycle, so that who comes later with as much of a need does not look again: the needs of a mesh
//! come in few sizes.

use alloc::vec::Vec;

use crate::policy::PolicyName;
use crate::resources::Resources;
use crate::session::{Hold, Session};
use crate::time::Millis;

/// Needs that cannot be met, by policy and target.
#[derive(Debug, Default)]
pub(super) struct Needs<'state>(Vec<(PolicyName, &'state str, &'state Resources)>);

impl<'state> Needs<'state> {
    /// What this session needs cannot be had.
    pub(super) fn insert(&mut self, session: &'state Session) {
        self.0.push((session.policy, session.spec.target.as_str(), &session.reserved));
    }

    /// Whether the session needs as much as one of them or more. One that keeps places to itself may have room there that is
    /// closed to all others, and one that asks for a part of a GPU may stand where one that asks for none may not.
    pub(super) fn cover(&self, session: &Session) -> bool {
        let asks_for_gpu = |need: &Resources| need.gpu_milli > 0;
        let covers = |(policy, target, need): &(PolicyName, &str, &Resources)| {
            *policy == session.policy
                && *target == session.spec.target
                && asks_for_gpu(need) == asks_for_gpu(&session.reserved)
                && need.fits(&session.reserved)
        };
        session.hold == Hold::Nothing && self.0.iter().any(covers)
    }
}

/// Whether places are closed to the session for no reason but room: then what it cannot have, no other like it can.
pub(super) fn is_like_others(session: &Session, now: Millis) -> bool {
    session.hold == Hold::Nothing && !session.is_failing(now)
}
