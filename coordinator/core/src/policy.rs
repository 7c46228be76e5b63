//! The rules by which sessions are ordered and placed: one trait, and a visible table of its implementations.
//!
//! The mesh's policy orders all sessions ([`Policy::order`]); each session's own policy, which is the mesh's where it names
//! none, says where its workers may stand, which of those places are best, and whom they may replace.
//!
//! Policies run on the leader only. What must hold whatever a policy says (capacity, health, what a session keeps to
//! itself) is in [`crate::plan::feasible`], and `apply` checks it again.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;
use crate::session::{Hold, PRIORITY_MAX, Session};
use exclusive::Exclusive;
use fcfs::Fcfs;
use gpu_binding::GpuBinding;
use preemptive::Preemptive;
use priority::Priority;

pub mod exclusive;
pub mod fcfs;
pub mod gpu_binding;
pub mod preemptive;
pub mod priority;

pub use place::Place;

mod place;

/// A policy by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// The oldest session first.
    #[default]
    Fcfs,
    /// The highest priority first; nobody who runs has to leave for it.
    Priority,
    /// As [`Self::Fcfs`], each session with devices of its own.
    Exclusive,
    /// The highest priority first, in the place of lower ones if need be.
    Preemptive,
    /// As [`Self::Fcfs`], each worker with a GPU or stick of its own.
    GpuBinding,
}

/// Whose turn comes first: the smallest. Equal ones go by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// Smaller goes first.
    rank: u8,
    /// Among equal ranks, those that were evicted go before new work.
    is_new: bool,
    /// Among those, the oldest.
    session: SessionId,
}

/// A way to order and place sessions.
pub trait Policy: fmt::Debug + Sync {
    /// The rank of a session among those that wait; smaller goes first.
    fn rank(&self, session: &Session) -> u8;

    /// Why this policy keeps a session off a place where it could stand.
    fn filter(&self, _session: &Session, _place: &Place) -> Result<(), &'static str> {
        Ok(())
    }

    /// What makes a place better for a session than others of the same speed; larger is better. A policy without a word on
    /// it says none, and the first place in the order of the class is taken: it must say so of all places, or of none.
    fn score(&self, _session: &Session, _place: &Place) -> Option<i64> {
        None
    }

    /// Whether a fixed worker of `session` may take the place of one of `holder`.
    fn may_evict(&self, _session: &Session, _holder: &Session) -> bool {
        false
    }

    /// What a session keeps to itself that does not say so.
    fn hold(&self) -> Hold {
        Hold::Nothing
    }
}

/// Every policy there is.
pub static POLICIES: [(PolicyName, &str, &dyn Policy); 5] = [
    (PolicyName::Fcfs, "fcfs", &Fcfs),
    (PolicyName::Priority, "priority", &Priority),
    (PolicyName::Exclusive, "exclusive", &Exclusive),
    (PolicyName::Preemptive, "preemptive", &Preemptive),
    (PolicyName::GpuBinding, "gpu-binding", &GpuBinding),
];

impl PolicyName {
    /// The policy of this name.
    pub fn policy(self) -> &'static dyn Policy {
        POLICIES.iter().find(|(name, _, _)| *name == self).map_or(&Fcfs, |(_, _, policy)| *policy)
    }
}

/// Sessions that wait, in the order in which they have their turns by the mesh's policy.
///
/// One that may evict takes the turn of the first that it may evict, where that comes before its own: if whom it evicts went
/// before it, he would take his place back the moment it is free. Before all others it goes by the mesh's policy alone.
pub fn order<'state>(
    policy: &dyn Policy,
    waiting: impl Iterator<Item = (SessionId, &'state Session)>,
) -> Vec<(SessionId, &'state Session)> {
    let turn = |id, session: &Session| Turn { rank: policy.rank(session), is_new: session.evicted == 0, session: id };
    let mut waiting: Vec<(Turn, &Session)> = waiting.map(|(id, session)| (turn(id, session), session)).collect();
    waiting.sort_unstable_by_key(|(turn, _)| *turn);
    // For each priority, where the first of a lower one stands.
    let mut first_below = [usize::MAX; PRIORITY_MAX as usize + 2];
    for (at, (_, session)) in waiting.iter().enumerate() {
        let above = usize::from(session.spec.priority.min(PRIORITY_MAX)) + 1;
        first_below[above..].iter_mut().for_each(|first| *first = (*first).min(at));
    }
    let mut ordered: Vec<_> = waiting
        .into_iter()
        .enumerate()
        .map(|(at, (turn, session))| {
            let priority = session.spec.priority.min(PRIORITY_MAX);
            let taken = first_below[usize::from(priority)];
            let takes = session.policy == PolicyName::Preemptive && taken < at;
            let key = if takes { (taken, 0, PRIORITY_MAX - priority) } else { (at, 1, 0) };
            ((key, turn), session)
        })
        .collect();
    ordered.sort_unstable_by_key(|(key, _)| *key);
    ordered.into_iter().map(|((_, turn), session)| (turn.session, session)).collect()
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(POLICIES.iter().find(|(name, _, _)| name == self).map_or("?", |(_, text, _)| text))
    }
}

impl FromStr for PolicyName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = POLICIES.iter().find(|(_, name, _)| *name == text).map(|(name, _, _)| *name);
        found.ok_or("the policies are fcfs, priority, exclusive, preemptive and gpu-binding")
    }
}
