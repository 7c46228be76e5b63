//! One gateway under faults: workers that vanish, leave, come back, fail, answer late, twice or after they were given up;
//! clients that submit twice, out of order, too much, or go away. What should come of it is known from [`expected`].

use std::collections::BTreeMap;

use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Dispatcher, Limits, TaskId};
use skein_core::{Millis, Sequence, StreamId, WorkerId};

use crate::Report;
use crate::chance::Chance;
use expected::Expected;

mod expected;
mod healing;
mod workers;

/// Steps of the safety phase: enough for every kind of fault to meet every other in most runs.
const STEPS: u64 = 2_000;
/// Few streams and workers, so that the same ids come back often.
const STREAMS: u64 = 4;
const WORKERS: u64 = 5;
/// Each time a stream is opened again its client counts attempts from above all that it may have used before.
const ATTEMPTS_AN_OPENING: u32 = 4096;

/// An attempt that some worker works on, whether the gateway still waits for it or not.
#[derive(Clone, Debug)]
struct Flying {
    worker: WorkerId,
    task: TaskId,
    attempt: u32,
    payload: u64,
}

#[derive(Debug)]
struct World {
    chance: Chance,
    now: Millis,
    dispatcher: Dispatcher<u64, u64, u64>,
    expected: Expected,
    flying: Vec<Flying>,
    /// Nothing goes wrong any more.
    is_healing: bool,
    /// How often streams were opened; every payload says under which opening it was submitted.
    openings: u32,
    /// The last event seen, and how many of each kind.
    event_seen: u64,
    told: BTreeMap<&'static str, u64>,
}

/// Runs this world from a seed.
pub fn run(seed: u64) -> Report {
    let mut chance = Chance::new(seed ^ 0xd15b);
    let tasks_max = chance.index(30) + 2;
    let limits = Limits { tasks_max, streams_max: 3, losses_max: chance.small(1..5) };
    let back_off = Millis(chance.pick([0, 5, 50]).unwrap_or(0));
    let retry = Retry { local: chance.small(0..3), hosts: chance.small(0..4), back_off };
    let mut world = World {
        chance,
        now: Millis(0),
        dispatcher: Dispatcher::new(limits, retry),
        expected: Expected::new(limits, retry),
        flying: Vec::new(),
        is_healing: false,
        openings: 0,
        event_seen: 0,
        told: BTreeMap::new(),
    };
    let mut steps = 0;
    while steps < STEPS && !world.chance.is_over() {
        world.now.0 += world.chance.number(0..20);
        world.act();
        world.check();
        steps += 1;
    }
    steps += world.heal();
    crate::report(seed, steps, world.now.0, world.chance)
}

impl World {
    fn act(&mut self) {
        match self.chance.number(0..100) {
            0..5 => self.open(),
            5..7 => self.close(),
            7..35 => self.submit(),
            35..42 => self.attach(),
            42..45 => self.lose(),
            45..48 => self.leave(),
            48..53 => self.checkpoint(),
            53..80 => self.answer(),
            80..97 => self.deliver(),
            97..99 => self.answer_nonsense(),
            _ if self.chance.percent(20) => self.fail_all(),
            _ => self.submit(),
        }
        if self.chance.percent(90) {
            self.send();
        }
    }

    fn open(&mut self) {
        let id = self.any_stream();
        let (ordered, first) = (self.chance.percent(60), Sequence(self.chance.number(0..3)));
        let opened = self.dispatcher.open_stream(id, ordered, first);
        let should = self.expected.open(id, ordered, first);
        self.chance.check(opened == should, || format!("stream {id} opened: {opened:?}, should be {should:?}"));
        match opened {
            Ok(()) => {
                self.openings += 1;
                self.chance.count(if ordered { "stream_ordered" } else { "stream_unordered" });
            }
            Err(_) => self.chance.count("stream_refused"),
        }
    }

    fn close(&mut self) {
        let id = self.any_stream();
        let account = self.dispatcher.close_stream(id);
        let should = self.expected.close(id);
        self.chance.check(account == should, || format!("stream {id} closed: {account:?}, should be {should:?}"));
        self.chance.check(account.is_none_or(|ledger| ledger.balances(0)), || format!("final account of {id}"));
        if account.is_some_and(|ledger| ledger.dropped > 0) {
            self.chance.count("stream_closed_with_tasks");
        }
    }

    fn submit(&mut self) {
        let stream = self.any_stream();
        let next = self.expected.next_of(stream);
        // Mostly the next one; at times an older one again or one that was refused, at times one too early.
        let sequence = match self.chance.number(0..10) {
            0..7 => next,
            7..9 => self.chance.number(0..next + 1),
            _ => next + self.chance.number(0..3),
        };
        self.submit_one(TaskId { stream, sequence: Sequence(sequence) });
    }

    fn submit_one(&mut self, id: TaskId) {
        let payload = (u64::from(self.openings) << 32) | id.sequence.0;
        let attempt_first = self.openings * ATTEMPTS_AN_OPENING;
        // Mostly equals, as with most clients.
        let priority = if self.chance.percent(70) { 50 } else { u8::try_from(self.chance.number(0..101)).unwrap_or(0) };
        let submitted = self.dispatcher.submit(id, attempt_first, priority, payload);
        let should = self.expected.submit(id, attempt_first, priority, payload);
        self.chance.check(submitted == should, || format!("{id:?} submitted: {submitted:?}, should be {should:?}"));
        self.chance.count(match submitted {
            Ok(()) if self.expected.is_overfull() => "task_taken_in_its_turn_when_full",
            Ok(()) => "task_submitted",
            Err(skein_core::dispatch::Refused::Full) => "task_refused_full",
            Err(skein_core::dispatch::Refused::NoStream) => "task_refused_no_stream",
            Err(skein_core::dispatch::Refused::Duplicate) => "task_refused_duplicate",
        });
    }

    fn fail_all(&mut self) {
        self.dispatcher.fail_all("the session ended");
        self.expected.fail_all("the session ended");
        self.chance.count("session_failed_all");
    }

    /// The caller takes some of what is ready, or all.
    fn deliver(&mut self) {
        let most = if self.chance.percent(50) { 1 } else { usize::MAX };
        for taken in 0..most {
            let Some(delivery) = self.dispatcher.next_delivery() else {
                let ready = self.expected.ready();
                self.chance.check(ready == 0, || format!("after {taken}, {ready} ends are ready and not delivered"));
                return;
            };
            let wrong = self.expected.deliver(&delivery);
            self.chance.check(wrong.is_none(), || format!("{delivery:?}: {}", wrong.unwrap_or_default()));
            self.chance.count("task_delivered");
        }
    }

    fn check(&mut self) {
        let found = self.dispatcher.violations();
        self.chance.check(found.is_empty(), || found.join("; "));
        let found = self.expected.differences(&self.dispatcher);
        self.chance.check(found.is_empty(), || found.join("; "));
        for event in self.dispatcher.events_since(self.event_seen) {
            self.event_seen += 1;
            let (is, should) = (event.sequence, self.event_seen);
            self.chance.check(is == should, || format!("event {is}, should be {should}"));
            *self.told.entry(expected::kind(&event.change)).or_default() += 1;
        }
        let wrong = self.expected.wrongly_told(&self.told);
        self.chance.check(wrong.is_none(), || wrong.unwrap_or_default());
    }

    fn any_stream(&mut self) -> StreamId {
        StreamId(1 + self.chance.number(0..STREAMS))
    }
}
