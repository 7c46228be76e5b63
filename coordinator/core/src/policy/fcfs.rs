//! First come, first served: the default.

use crate::policy::{Policy, PolicyName, priority};
use crate::session::Session;

/// The oldest session is filled first, and one that cannot be filled does not keep younger ones from what it cannot use.
#[derive(Debug)]
pub struct Fcfs;

impl Policy for Fcfs {
    fn rank(&self, session: &Session) -> u8 {
        by_age(session)
    }
}

/// All sessions are equal and go by age; but one that may evict others goes before them, by its priority. If those it
/// evicts went before it, they would take their place back the moment it is free.
pub(super) fn by_age(session: &Session) -> u8 {
    if session.policy == PolicyName::Preemptive { priority::by_priority(session) } else { u8::MAX }
}
