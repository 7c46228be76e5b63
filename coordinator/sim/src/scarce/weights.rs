//! Sessions of different weight that all want more than there is.
//!
//! The error: whoever wants more has, for its weight, no less than anybody else has but for one worker of each. While
//! workers leave and come, one more second may pass; so it is looked at when a few seconds passed without a change.

use skein_core::session::SessionSpec;
use skein_core::{Command, Millis, SessionId};

use super::{World, session};
use crate::control::check::mesh::Mesh;
use crate::control::check::rest;

/// A grace of two seconds, and one to plan and start, for each of those that come one after another.
const CALM: Millis = Millis(20_000);
const CHANGES: u64 = 12;

impl World {
    pub(super) fn weights(&mut self) {
        self.chance.count("weights_played");
        let nodes = 1 + self.chance.number(0..4);
        self.nodes(nodes, 8_000);
        let same = self.chance.percent(50);
        let sessions: Vec<(SessionId, u32)> = (0..2 + self.chance.index(3))
            .map(|_| {
                let share = self.chance.pick([1, 2, 3, 10]).unwrap_or(1);
                let fixed = self.chance.small(0..2);
                let size = if same { 1_000 } else { self.chance.pick([500, 1_000, 2_000]).unwrap_or(1_000) };
                (self.open(SessionSpec { share, fixed, max: fixed + 40, ..session(size) }), share)
            })
            .collect();
        for _ in 0..CHANGES {
            for (session, _) in &sessions {
                let workers = if self.chance.percent(70) { 100 } else { self.chance.small(0..4) };
                self.say(Command::SessionWant { session: *session, workers });
            }
            let begin = self.now;
            while self.now.since(begin) < CALM {
                self.second();
            }
            self.shares_are_fair();
            if same {
                self.shares_follow_weights(&sessions);
            }
        }
    }

    /// Nobody could have more in the place of somebody who has more for his weight; what nobody uses, nobody wants.
    fn shares_are_fair(&mut self) {
        self.chance.count("weights_checked");
        let found = rest::violations(&Mesh::of(&self.state, self.now));
        self.chance.check(found.is_empty(), || found.join("; "));
    }

    /// Where all workers are of one size, any of them can stand in the place of any other: then the workers beyond the
    /// fixed ones are as the weights are, within one worker.
    fn shares_follow_weights(&mut self, sessions: &[(SessionId, u32)]) {
        let known: Vec<(u32, u32, bool)> = sessions
            .iter()
            .filter_map(|(id, share)| {
                let session = self.state.sessions.get(id)?;
                let serving = self.serving(*id);
                Some((serving.saturating_sub(session.spec.fixed), *share, serving < session.target()))
            })
            .collect();
        for (mine, my_share, wants_more) in &known {
            for (theirs, their_share, _) in &known {
                let owed = *wants_more && *theirs > 0 && theirs * my_share > (mine + 1) * their_share;
                self.chance.check(!owed, || format!("workers and shares are not alike: {known:?}"));
            }
        }
    }
}
