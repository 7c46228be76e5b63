//! The account of every task of a stream.

use serde::{Deserialize, Serialize};

/// Every task that was submitted ends in exactly one of the states below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Tasks taken in.
    pub submitted: u64,
    /// Tasks with an answer.
    pub done: u64,
    /// Tasks that ended without one, for a stated reason.
    pub failed: u64,
    /// Tasks given up because their source went away.
    pub dropped: u64,
    /// Attempts that were lost with their worker; each was tried again or made its task fail.
    pub lost_attempts: u64,
    /// Attempts that failed where the task was not to blame; each was tried again or made its task fail.
    pub failed_attempts: u64,
    /// Answers that came from an attempt that was no longer the newest, and were not delivered.
    pub fenced: u64,
}

impl Ledger {
    /// Whether every submitted task is accounted for, with this many still pending.
    pub fn balances(&self, pending: u64) -> bool {
        self.submitted == self.done + self.failed + self.dropped + pending
    }
}
