//! Who is up: the leader's account of heartbeats.
//!
//! A fixed time-out is the naive way: on a wire it waits too long, and on a drone's radio it takes a usual gap for a loss. So each
//! node is judged by its own link ([`gaps`]), within bounds that an operator sets.

use alloc::collections::BTreeMap;

use crate::command::Command;
use crate::ids::NodeId;
use crate::state::State;
use crate::time::Millis;
use gaps::Gaps;

pub mod gaps;

/// The longest that a flapping node must be heard on end, whatever its past: a node in good order is not sent away for longer.
pub const HOLD_MAX: Millis = Millis(60_000);
/// A node that stays up for so long has one half of its past forgiven: flapping that matters is faster than that.
pub const CALM: Millis = Millis(300_000);
/// The most that is held against a node: with the usual half second to begin with, more would only meet [`HOLD_MAX`]. It is forgiven
/// after a quarter of an hour, the half-life of route-flap damping (RFC 2439).
pub const FLAPS_MAX: u32 = 8;

/// How patient the leader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often a node says that it is there.
    pub beat_every: Millis,
    /// The least silence that takes a node down, however regular its link.
    pub down_after: Millis,
    /// The silence that takes a node down, however irregular its link.
    pub down_after_max: Millis,
    /// How long a node that was down must be heard on end before it is up.
    pub up_after: Millis,
}

impl Patience {
    /// How long a node that went down so often of late must be heard on end. The first time is no flapping: a node may restart.
    /// Each further one doubles it, as route-flap damping does with a route that comes and goes.
    pub fn hold(&self, flaps: u32) -> Millis {
        let doublings = flaps.saturating_sub(1).min(FLAPS_MAX);
        Millis(self.up_after.0.saturating_mul(1 << doublings)).min(HOLD_MAX.max(self.up_after))
    }
}

/// How often a node went down of late, counting this time, when it was up for so long before.
pub fn flaps(before: u32, up_for: Millis) -> u32 {
    let halvings = u32::try_from(up_for.0 / CALM.0).unwrap_or(u32::MAX);
    (before.checked_shr(halvings).unwrap_or(0) + 1).min(FLAPS_MAX)
}

/// When each node was last heard, by the leader's own clock. A new leader starts a new account, in which everybody who
/// was up has just been heard: it must not declare nodes down for beats that went to its predecessor.
#[derive(Debug)]
pub struct Liveness {
    /// The leader itself: always heard.
    own: NodeId,
    patience: Patience,
    /// When the leader last looked.
    looked: Millis,
    heard: BTreeMap<NodeId, Heard>,
}

#[derive(Debug)]
struct Heard {
    /// The last time; none for one that is known to be gone, or was never heard.
    at: Option<Millis>,
    /// It is known to be gone, and was not heard since.
    lost: bool,
    /// Since when it has been heard on end.
    steady_since: Millis,
    /// What is usual on its link.
    gaps: Gaps,
    /// Since when the node was up, when it was last seen so.
    up_since: Option<Millis>,
}

impl Liveness {
    /// The account of this leader, begun now.
    pub fn new(own: NodeId, now: Millis, patience: Patience, state: &State) -> Self {
        let mut account = Self { own, patience, looked: now, heard: BTreeMap::new() };
        account.welcome(now, state);
        account
    }

    /// A beat of a node came. Only what comes regularly belongs here: its gaps say how long a silence is usual.
    pub fn observe(&mut self, now: Millis, node: NodeId) {
        self.look(now);
        let patience = self.patience;
        let heard = self.entry(now, node);
        match heard.at {
            // It was overtaken by one that was sent later.
            Some(at) if now < at => return,
            Some(at) => {
                let gap = now.since(at);
                if gap >= heard.silence_max(&patience) {
                    heard.steady_since = now;
                }
                if gap >= patience.down_after_max {
                    // That was no gap of the link but an absence, and says nothing of the next gap.
                    heard.gaps = Gaps::expecting(patience.beat_every);
                } else {
                    heard.gaps.note(gap);
                }
            }
            None => (heard.steady_since, heard.gaps) = (now, Gaps::expecting(patience.beat_every)),
        }
        (heard.at, heard.lost) = (Some(now), false);
    }

    /// A node is known to be gone: it need not be waited for. It is up again once it has been heard for long enough.
    pub fn lose(&mut self, node: NodeId) {
        if let Some(heard) = self.heard.get_mut(&node) {
            (heard.at, heard.lost) = (None, true);
        }
    }

    /// The leader looks. If it did not for a while, it did not run, and beats that came meanwhile wait unread: that is no silence
    /// of those who were heard until then.
    pub fn look(&mut self, now: Millis) {
        let (before, patience) = (self.looked, self.patience);
        let pause = now.since(before);
        self.looked = before.max(now);
        if pause.0 <= patience.beat_every.0.saturating_mul(2) {
            return;
        }
        let missed = pause.since(patience.beat_every);
        for heard in self.heard.values_mut() {
            let silence_max = heard.silence_max(&patience);
            if let Some(at) = heard.at.as_mut().filter(|at| **at + silence_max > before) {
                *at = (*at + missed).min(now);
            }
        }
    }

    /// The first change of the state that the account calls for.
    pub fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        self.look(now);
        self.welcome(now, state);
        state.nodes.iter().find_map(|(id, node)| match (node.up, self.is_heard(now, *id)) {
            (true, false) => Some(Command::NodeDown(*id)),
            (false, true) if self.is_steady(*id, node.flaps) => Some(Command::NodeUp(*id)),
            _ => None,
        })
    }

    /// When to look again though nothing was heard: when the next node will be down, and, while anybody is heard, once a beat, so
    /// that a pause in which the leader does not run can be told. One that is to come up does not wake: its next beat does.
    pub fn wake_at(&self, state: &State) -> Option<Millis> {
        let others = self.heard.iter().filter(|(id, _)| **id != self.own);
        let ends = others.filter_map(|(id, heard)| Some((id, heard.at? + heard.silence_max(&self.patience))));
        let is_up = |id: &NodeId| state.nodes.get(id).is_some_and(|node| node.up);
        let wakes = ends.filter_map(|(id, end)| {
            let is_heard = end > self.looked;
            (is_heard || is_up(id)).then(|| end.min(self.looked + self.patience.beat_every))
        });
        wakes.min()
    }

    /// A node that came up since counts as heard now: its last beat may be from before it went down, and it would be
    /// declared down again as it joins.
    fn welcome(&mut self, now: Millis, state: &State) {
        for (id, node) in state.nodes.iter().filter(|(_, node)| node.up) {
            let heard = self.entry(now, *id);
            if heard.up_since.replace(node.since) != Some(node.since) && !heard.lost {
                heard.at = Some(now);
            }
        }
    }

    fn entry(&mut self, now: Millis, node: NodeId) -> &mut Heard {
        let gaps = Gaps::expecting(self.patience.beat_every);
        self.heard.entry(node).or_insert(Heard { at: None, lost: false, steady_since: now, gaps, up_since: None })
    }

    fn is_heard(&self, now: Millis, node: NodeId) -> bool {
        let is_heard = |heard: &Heard| heard.at.is_some_and(|at| now.since(at) < heard.silence_max(&self.patience));
        node == self.own || self.heard.get(&node).is_some_and(is_heard)
    }

    /// From beat to beat: one alone, the last of a dying node, proves nothing however long its silence is borne.
    fn is_steady(&self, node: NodeId, flaps: u32) -> bool {
        let steady = |heard: &Heard| heard.at.map(|at| at.since(heard.steady_since));
        let is_steady = |heard: &Heard| steady(heard).is_some_and(|length| length >= self.patience.hold(flaps));
        node == self.own || self.heard.get(&node).is_some_and(is_steady)
    }
}

impl Heard {
    /// A silence of this length is a loss.
    fn silence_max(&self, patience: &Patience) -> Millis {
        self.gaps.silence_max(patience.down_after, patience.down_after_max)
    }
}
