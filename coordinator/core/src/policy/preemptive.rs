//! The highest priority first, in the place of lower ones if need be.

use crate::policy::{Policy, priority};
use crate::session::Session;

/// As [`priority`], and a waiting session takes the places of running ones of lower priority. Only a strictly lower one can
/// be evicted, so evictions run down the priorities and come to an end.
#[derive(Debug)]
pub struct Preemptive;

impl Policy for Preemptive {
    fn rank(&self, session: &Session) -> u8 {
        priority::by_priority(session)
    }

    fn may_evict(&self, session: &Session, holder: &Session) -> bool {
        holder.spec.priority < session.spec.priority
    }
}
