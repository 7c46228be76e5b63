//! How often and where a failed task is tried again.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// The most repeats on one node: what fails so often there will not work there.
pub const LOCAL_MAX: u32 = 16;
/// The most further nodes: each costs a worker's time, and a fault that follows a task over so many nodes is the task's own.
pub const HOSTS_MAX: u32 = 16;
/// The longest wait between two tries: a client gives up on a silent gateway after about as long.
pub const BACK_OFF_MAX: Millis = Millis(60_000);

/// How often and where a failed task is tried again. What is the task's own fault is not tried again, and the loss of a
/// worker costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// More tries on each node that it comes to, the first one too.
    pub local: u32,
    /// Further nodes, such as were not tried yet first.
    pub hosts: u32,
    /// The wait before the first retry; each further one doubles it, up to [`BACK_OFF_MAX`].
    pub back_off: Millis,
}

impl Default for Retry {
    /// Once more at once, for a fault that passes by itself; then two other nodes, as a majority of three would have to be
    /// broken. 50 ms are a few inferences: long enough for a device to recover, hardly seen in a stream of pictures.
    fn default() -> Self {
        Self { local: 1, hosts: 2, back_off: Millis(50) }
    }
}

/// What becomes of a task after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is tried again on the node where it failed.
    Here,
    /// It goes to another node.
    Elsewhere,
    /// That was the last try.
    Over,
}

impl Retry {
    /// Whether it is within bounds; if not, why.
    pub fn check(&self) -> Result<(), String> {
        let Self { local, hosts, back_off } = self;
        if *local > LOCAL_MAX {
            Err(format!("a task may be retried {LOCAL_MAX} times on a node at most, not {local}"))
        } else if *hosts > HOSTS_MAX {
            Err(format!("a task may be retried on {HOSTS_MAX} further nodes at most, not {hosts}"))
        } else if *back_off > BACK_OFF_MAX {
            Err(format!("the wait before a retry may be {BACK_OFF_MAX} at most, not {back_off}"))
        } else {
            Ok(())
        }
    }

    /// How often a task may fail. The number does not depend on which nodes come and go meanwhile: where a node is gone, the
    /// one that takes its place stands in for it.
    pub fn tries(&self) -> u32 {
        (self.local.min(LOCAL_MAX) + 1) * (self.hosts.min(HOSTS_MAX) + 1)
    }

    /// After so many failures, counted from 1.
    pub(crate) fn after(&self, failures: u32) -> Next {
        if failures >= self.tries() {
            Next::Over
        } else if failures.is_multiple_of(self.local.min(LOCAL_MAX) + 1) {
            Next::Elsewhere
        } else {
            Next::Here
        }
    }

    /// The wait after so many failures, counted from 1.
    pub(crate) fn wait_after(&self, failures: u32) -> Millis {
        let doublings = failures.saturating_sub(1).min(u64::BITS - 1);
        Millis(self.back_off.0.saturating_mul(1 << doublings).min(BACK_OFF_MAX.0))
    }
}
