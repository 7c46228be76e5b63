//! The highest priority first.

use crate::policy::Policy;
use crate::session::{PRIORITY_MAX, Session};

/// Higher priority goes first, also for what is spare. Nobody who runs has to leave for it.
#[derive(Debug)]
pub struct Priority;

impl Policy for Priority {
    fn rank(&self, session: &Session) -> u8 {
        by_priority(session)
    }
}

pub(super) fn by_priority(session: &Session) -> u8 {
    PRIORITY_MAX.saturating_sub(session.spec.priority)
}
