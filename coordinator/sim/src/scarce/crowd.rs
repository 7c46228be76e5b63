//! A stream of small sessions that come and go, against a large one that no gap they leave is large enough for.

use std::collections::BTreeMap;

use skein_core::plan::STARVES_AFTER;
use skein_core::policy::PolicyName;
use skein_core::session::SessionSpec;
use skein_core::{Command, Millis, SessionId};

use super::{World, session};
use crate::control::draw;

/// The longest that a small session lasts.
const LASTS_MAX: u64 = 30_000;
/// How long the large one may wait: until a node is kept free for it, and the small ones there have ended; and a little.
const WAITS_MAX: Millis = Millis(STARVES_AFTER.0 + LASTS_MAX + 10_000);
/// How long it is watched before, and after.
const WATCHED: Millis = Millis(60_000);

impl World {
    pub(super) fn crowd(&mut self) {
        self.chance.count("crowd_played");
        let nodes = 1 + self.chance.number(0..3);
        self.nodes(nodes, 4_000);
        // Under every policy: the small ones are no more important, but for how old they are.
        let policy = draw::session::policy(&mut self.chance);
        self.say(Command::PolicySet(policy));
        let mut ends: BTreeMap<SessionId, Millis> = BTreeMap::new();
        let begin = self.now;
        while self.now.since(begin) < WATCHED {
            self.small_ones(nodes, &mut ends);
            self.second();
        }
        let fixed = 1 + self.chance.small(0..2).min(u32::try_from(nodes - 1).unwrap_or(0));
        let policy = Some(PolicyName::Fcfs);
        let large = self.open(SessionSpec { fixed, policy, ..session(3_600) });
        let asked = self.now;
        let served = |world: &Self| world.serving(large) == fixed;
        while !served(self) && self.now.since(asked) < Millis(WAITS_MAX.0 * u64::from(fixed)) {
            self.small_ones(nodes, &mut ends);
            self.second();
        }
        let waited = self.now.since(asked);
        self.chance.check(served(self), || format!("a session of {fixed} large workers waits for {waited}"));
        self.chance.count(if waited >= STARVES_AFTER { "crowd_large_was_promised" } else { "crowd_large_was_lucky" });
        self.small_ones_go_on(nodes, large, &mut ends);
    }

    /// Always a few more than fit.
    fn small_ones(&mut self, nodes: u64, ends: &mut BTreeMap<SessionId, Millis>) {
        let now = self.now;
        let over: Vec<SessionId> = ends.iter().filter(|(_, end)| **end <= now).map(|(id, _)| *id).collect();
        for id in over {
            ends.remove(&id);
            self.say(Command::SessionEnd(id));
        }
        while ends.len() < usize::try_from(nodes).unwrap_or(0) * 8 + 3 {
            // Nothing is kept from others under any policy of the mesh.
            let id = self.open(SessionSpec { policy: Some(PolicyName::Fcfs), ..session(500) });
            let lasts = self.chance.number(2_000..LASTS_MAX);
            ends.insert(id, self.now + Millis(lasts));
        }
    }

    /// Whoever waited has its turn, and then all others have theirs again.
    fn small_ones_go_on(&mut self, nodes: u64, large: SessionId, ends: &mut BTreeMap<SessionId, Millis>) {
        self.say(Command::SessionEnd(large));
        let begin = self.now;
        while self.now.since(begin) < WATCHED {
            self.small_ones(nodes, ends);
            self.second();
        }
        let served = self.state.workers.len() as u64;
        self.chance.check(served >= nodes * 6, || format!("only {served} small sessions are served by {nodes} nodes"));
    }
}
