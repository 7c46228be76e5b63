//! A session whose workers use now more, now less than they were given, and then one that takes whatever is spare.

use skein_core::adapt::{Adapt, FALL_EVERY, SLOT, SLOTS, Usage};
use skein_core::session::SessionSpec;
use skein_core::{Command, Millis, Resources, SessionId, WorkerId};

use super::{World, need, session};

/// How long the use stays the same: the window, twenty falls of a tenth each from the most to the least, and a few more.
const PHASE: Millis = Millis(SLOT.0 * SLOTS as u64 + 24 * FALL_EVERY.0);
/// By then a reservation has risen: the accidents of the slots before are outvoted.
const RISEN_AFTER: Millis = Millis(4 * SLOT.0);
const LEAST: u64 = 500;
const MOST: u64 = 4_000;

/// What became of the reservation.
#[derive(Debug, Default)]
struct Seen {
    fell_at: Option<Millis>,
    /// When it was last needed as it is.
    needed_at: Millis,
}

impl World {
    pub(super) fn adaptive(&mut self) {
        self.chance.count("adaptive_played");
        self.nodes(2, 12_000);
        let (fixed, need_max) = (2, Some(need(MOST)));
        let adaptive = self.open(SessionSpec { fixed, need_max, ..session(LEAST) });
        let (mut adapt, mut seen) = (Adapt::default(), Seen::default());
        let high = self.chance.number(MOST / 2..MOST * 2);
        let low = self.chance.number(10..LEAST);
        self.used(adaptive, high, &mut adapt, &mut seen);
        let given = self.reserved(adaptive);
        self.chance.check(given >= high.min(MOST), || format!("{given} are reserved where {high} are used"));
        let taker = self.open(SessionSpec { fixed: 0, share: 1, max: 100, ..session(500) });
        self.say(Command::SessionWant { session: taker, workers: 100 });
        self.passes(SLOT);
        let spare = self.serving(taker);
        self.used(adaptive, low, &mut adapt, &mut seen);
        // It falls as long as less than four fifths are needed, with what is given above the use.
        let (given, more) = (self.reserved(adaptive), self.serving(taker));
        self.chance.check(given <= LEAST.max(low * 144 / 100), || format!("{given} are reserved where {low} are used"));
        self.chance.check(more > spare, || format!("what was freed is not given out: {spare} workers became {more}"));
    }

    /// For a phase, each worker of a session uses so much, and a little less.
    fn used(&mut self, id: SessionId, millicores: u64, adapt: &mut Adapt, seen: &mut Seen) {
        let begin = self.now;
        while self.now.since(begin) < PHASE {
            let workers: Vec<WorkerId> = self.state.workers_of(id).map(|(worker, _)| worker).collect();
            for worker in workers {
                let Resources { cpu_millicores, memory_bytes, .. } =
                    need(millicores - self.chance.number(0..millicores / 10));
                let usage = Usage { cpu_millicores, memory_bytes, ..Usage::default() };
                adapt.observe(self.now, worker, usage);
            }
            if millicores * 115 / 100 * 100 >= self.reserved(id) * 80 {
                seen.needed_at = self.now;
            }
            while let Some(command) = adapt.next_command(self.now, &self.state) {
                let before = self.reserved(id);
                self.say(command);
                self.check_step(before, self.reserved(id), seen);
            }
            let has_risen = self.now.since(begin) < RISEN_AFTER || self.reserved(id) >= (millicores * 9 / 10).min(MOST);
            self.chance.check(has_risen, || {
                format!("{} are reserved where {millicores} are used", self.state.sessions[&id].reserved.cpu_millicores)
            });
            self.passes(SLOT);
        }
    }

    /// Up at once; down by a tenth, not more often than once a minute, and not before a whole window did without.
    fn check_step(&mut self, before: u64, after: u64, seen: &mut Seen) {
        let is_within = (LEAST..=MOST).contains(&after);
        self.chance.check(is_within, || format!("{before} reserved become {after}"));
        if after >= before {
            return self.chance.count("adaptive_rose");
        }
        self.chance.count("adaptive_fell");
        let is_slow = seen.fell_at.is_none_or(|at| self.now.since(at) >= FALL_EVERY);
        let waited = self.now.since(seen.needed_at) + SLOT >= Millis(SLOT.0 * SLOTS as u64)
            || seen.fell_at > Some(seen.needed_at);
        self.chance.check(is_slow && waited && after * 100 + 100 >= before * 90, || {
            format!("{before} reserved fall to {after} at {}; {seen:?}", self.now)
        });
        seen.fell_at = Some(self.now);
    }

    fn reserved(&self, id: SessionId) -> u64 {
        self.state.sessions.get(&id).map_or(0, |session| session.reserved.cpu_millicores)
    }
}
