//! What went wrong with a task before it ended.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, WorkerId};
use crate::time::Millis;

/// The most of a reason that is kept: targets say what is wrong in a few hundred bytes, and a whole history, some three hundred
/// attempts at most, must fit a message.
pub const REASON_BYTES_MAX: usize = 512;
/// What became of an attempt at which its worker died.
pub const DIED: &str = "the worker died while it worked on it";

/// Why a worker has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The task is to blame, a bad input say: it would fail anywhere, and is not tried again.
    Task(String),
    /// The worker, its device or its node is to blame, or may be: it is tried again.
    Place(String),
}

impl Fault {
    /// What is wrong, whoever is to blame.
    pub fn into_reason(self) -> String {
        let (Self::Task(reason) | Self::Place(reason)) = self;
        reason
    }
}

/// An attempt that ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which.
    pub attempt: u32,
    /// Who had it.
    pub worker: WorkerId,
    /// Where.
    pub node: NodeId,
    /// When it ended.
    pub at: Millis,
    /// Its worker's process died while it worked on it. That does not count as a failure; but a task that kills its workers
    /// must be stopped. Attempts that were lost in any other way are not in a history: nothing speaks against them.
    pub lost: bool,
    /// Why, for people.
    pub reason: String,
}

/// A task's failed attempts, oldest first. It takes no memory until something failed.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<FailedAttempt>);

impl History {
    pub(crate) fn push(&mut self, failed: FailedAttempt) {
        self.0.push(FailedAttempt { reason: shortened(failed.reason), ..failed });
    }

    /// How often it failed, and how often a worker died of it, or beside it.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let lost = self.0.iter().filter(|attempt| attempt.lost).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(self.0.len() - lost), count(lost))
    }

    /// Where it failed, newest first.
    pub(crate) fn failed_on(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().rev().filter(|attempt| !attempt.lost).map(|attempt| attempt.node)
    }

    pub(crate) fn last_reason(&self) -> String {
        self.0.last().map(|attempt| attempt.reason.clone()).unwrap_or_default()
    }

    /// A reason, and what happened before; the newest attempt is the reason's.
    pub(crate) fn after_all(&self, reason: &str) -> String {
        match self.0.split_last() {
            Some((_, earlier)) if !earlier.is_empty() => format!("{reason}; before that, {}", story(earlier)),
            _ => reason.into(),
        }
    }

    /// All of it, in words.
    pub(crate) fn told(&self) -> String {
        let times = if self.0.len() == 1 { "once".into() } else { format!("{} times", self.0.len()) };
        format!("tried {times}: {}", story(&self.0))
    }

    pub(crate) fn into_attempts(self) -> Vec<FailedAttempt> {
        self.0
    }
}

fn story(attempts: &[FailedAttempt]) -> String {
    let told = attempts.iter().map(|FailedAttempt { attempt, worker, node, reason, .. }| {
        format!("attempt {attempt} on node {node}, worker {worker}: {reason}")
    });
    told.collect::<Vec<_>>().join("; ")
}

pub(crate) fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}
