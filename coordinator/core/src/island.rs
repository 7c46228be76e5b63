//! A node that has lost the mesh: for how long it goes on with the sessions it held.
//!
//! A leader that is sure of itself tells every node now and then that it is led. A node that does not hear that for long enough is
//! an island: it goes on with the plan on its disk, each session for as long as its `offline` setting allows.
//!
//! The time is counted, and not taken from a clock: a board without a battery for its clock comes back from a power cut in 1970,
//! or where it last wrote the time down, and a lease that ends on a date would end at once there, or never. So what counts is time
//! in which the node ran and heard nobody. It is written down before it is spent ([`Island::to_charge`]): each start of an agent
//! finds what was charged in the lives before, and a node that restarts over and over uses its time up sooner, not later.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, SessionId};
use crate::session::OFFLINE_UNLIMITED;
use crate::state::State;
use crate::time::Millis;

/// A node is an island after so long without a word of a leader, or later where its mesh is given more time to take nodes down: an
/// election among slow disks, or a machine that has no time for its agent, is no cut.
pub const CUT_AFTER_MIN: Millis = Millis(5_000);
/// So much is charged at once: a write every five seconds wears no card out, and a restart costs no more than that.
pub const CHARGE_STEP: Millis = Millis(5_000);

/// The most sessions in one report, so that a log entry stays small.
pub const REPORT_SESSIONS_MAX: usize = 256;

/// What islands did for one session. Durable tasks are in the accounts of their streams, but for those done twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandAccount {
    /// Tasks in real time that an island answered for its own clients.
    pub done: u64,
    /// Those that ended there without an answer.
    pub failed: u64,
    /// Those that were given up there, as their client went away or the session had to stop.
    pub dropped: u64,
    /// Ends of durable tasks for which an island had no room: the tasks were done again.
    pub no_room: u64,
    /// Tasks that were done twice, on an island and elsewhere: the second answer was refused.
    pub repeated: u64,
    /// Attempts for gateways beyond the cut whose answer nobody waits for any more: their stream is gone.
    pub unclaimed: u64,
}

impl IslandAccount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            failed: self.failed.saturating_add(other.failed),
            dropped: self.dropped.saturating_add(other.dropped),
            no_room: self.no_room.saturating_add(other.no_room),
            repeated: self.repeated.saturating_add(other.repeated),
            unclaimed: self.unclaimed.saturating_add(other.unclaimed),
        }
    }
}

/// What a node did while it was cut off, for the mesh to enter once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandReport {
    /// Who says it.
    pub node: NodeId,
    /// Counts its reports: one that was entered is not entered again, however often it is sent.
    pub number: u64,
    /// Of each session; at most [`REPORT_SESSIONS_MAX`].
    pub sessions: Vec<(SessionId, IslandAccount)>,
}

/// One node's account of its contact with the mesh. Times are counted from the start of its agent.
#[derive(Debug)]
pub struct Island {
    cut_after: Millis,
    /// When it last heard that it is led; the start of its agent until then.
    since: Millis,
    /// It has heard that since its start.
    is_met: bool,
    /// Time as an island in lives before this one.
    carried: Millis,
    /// What the disk holds as spent.
    charged: Millis,
}

impl Island {
    /// The account of an agent that starts now, in a mesh that takes a node down after a silence of `down_after_max`, and whose disk
    /// says that so much was charged before.
    pub fn new(now: Millis, down_after_max: Millis, carried: Millis) -> Self {
        let cut_after = CUT_AFTER_MIN.max(down_after_max);
        Self { cut_after, since: now, is_met: false, carried, charged: carried }
    }

    /// A leader that is sure of itself was heard, or is this node. Whether it was cut off until now.
    pub fn on_contact(&mut self, now: Millis) -> bool {
        let was_cut = self.is_cut(now);
        (self.since, self.is_met, self.carried, self.charged) = (self.since.max(now), true, Millis(0), Millis(0));
        was_cut
    }

    /// For how long it has heard nobody, while it ran.
    pub fn silence(&self, now: Millis) -> Millis {
        self.carried + now.since(self.since)
    }

    /// Whether it is an island. One that was when its agent last ran, is so until it hears otherwise.
    pub fn is_cut(&self, now: Millis) -> bool {
        (!self.is_met && self.carried > Millis(0)) || now.since(self.since) >= self.cut_after
    }

    /// For how much longer a session with this setting goes on here; none where that is for ever, zero where it has stopped.
    pub fn left(&self, now: Millis, offline: Millis) -> Option<Millis> {
        // Until it is an island, nothing stops: also at the start of an agent, which has not had the time to hear anybody.
        (offline != OFFLINE_UNLIMITED).then(|| offline.max(self.cut_after).since(self.silence(now)))
    }

    /// Whether a session with this setting goes on here.
    pub fn goes_on(&self, now: Millis, offline: Millis) -> bool {
        self.left(now, offline) != Some(Millis(0))
    }

    /// What is to be written to disk now, where something is: before that time is spent, so that no life spends it twice. What was
    /// written is to be taken back when the mesh is.
    pub fn to_charge(&mut self, now: Millis) -> Option<Millis> {
        let silence = self.silence(now);
        if !self.is_cut(now) || silence < self.charged {
            return None;
        }
        self.charged = silence + CHARGE_STEP;
        Some(self.charged)
    }

    /// The sessions whose time on this node is over now.
    pub fn stopped(&self, now: Millis, state: &State) -> BTreeSet<SessionId> {
        let over = state.sessions.iter().filter(|(_, session)| !self.goes_on(now, session.spec.offline));
        over.map(|(id, _)| *id).collect()
    }

    /// Why a session with this setting has stopped here, for people.
    pub fn stopped_words(&self, now: Millis, node: NodeId, offline: Millis) -> String {
        let seconds = |length: Millis| format!("{} s", length.0 / 1_000);
        format!(
            "node {node} has been cut off from the mesh for {}, and the session's `offline` setting lets it go on for {}: it goes on \
             when the mesh is back",
            seconds(self.silence(now)),
            seconds(offline)
        )
    }
}
