//! First come, first served: the default.

use crate::policy::Policy;
use crate::session::Session;

/// The oldest session is filled first, and one that cannot be filled does not keep younger ones from what it cannot use.
#[derive(Debug)]
pub struct Fcfs;

impl Policy for Fcfs {
    fn rank(&self, _session: &Session) -> u8 {
        BY_AGE
    }
}

/// All sessions are equal and go by age.
pub(super) const BY_AGE: u8 = u8::MAX;
