//! One stream of durable tasks, and its account.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dispatch::ATTEMPTS_MAX;
use crate::durable::{DurableTask, Ended, Size};
use crate::ids::{NodeId, Sequence, SessionId};
use crate::model::Digest;
use crate::time::Millis;

/// One stream of durable tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableStream {
    /// Whose workers it uses.
    pub session: SessionId,
    /// The gateway that runs its tasks.
    pub gateway: NodeId,
    /// Counts the gateways it was given to, from 1.
    pub tenure: u32,
    /// The number of the first task that was not accepted yet.
    pub next: Sequence,
    /// Tasks without an end.
    pub pending: BTreeMap<Sequence, DurableTask>,
    /// Ends that were not fetched.
    pub ended: BTreeMap<Sequence, Ended>,
    /// The account of all its tasks.
    pub account: Account,
    /// How long it is kept after the last change.
    pub keep: Millis,
    /// When it last changed, since the Unix epoch.
    pub touched: Millis,
}

/// Every accepted task is pending, done or failed; every end is kept, fetched or expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Tasks taken in.
    pub accepted: u64,
    /// Tasks with an answer.
    pub done: u64,
    /// Tasks that ended without one.
    pub failed: u64,
    /// Ends that the client has.
    pub fetched: u64,
    /// Ends that were refused, as they came for a task that had ended, or were failures of an earlier tenure.
    pub fenced: u64,
}

impl DurableStream {
    /// The number of the first attempt in this tenure: above all that an earlier one may have used.
    pub fn attempt_first(&self) -> u32 {
        self.tenure.saturating_sub(1).saturating_mul(ATTEMPTS_MAX).saturating_add(1)
    }

    /// Until when it is kept if nobody touches it. What is pending is never forgotten.
    pub fn expires(&self) -> Option<Millis> {
        self.pending.is_empty().then(|| self.touched + self.keep)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = Digest> {
        self.pending.values().flat_map(DurableTask::files).chain(self.ended.values().filter_map(Ended::file))
    }

    pub(super) fn size(&self) -> Size {
        let tasks = self.pending.values().map(DurableTask::bytes).chain(self.ended.values().map(Ended::bytes));
        Size { tasks: self.pending.len() + self.ended.len(), bytes: tasks.sum() }
    }
}

impl Account {
    /// Whether every task is accounted for, with so many pending and so many ends kept.
    pub fn balances(&self, pending: usize, kept: usize) -> bool {
        let ends = self.done + self.failed;
        self.accepted == ends + pending as u64 && ends == self.fetched + kept as u64
    }
}
