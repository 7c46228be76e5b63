//! One gateway under faults: workers that vanish, come back, answer late, twice or after they were given up; clients that
//! submit twice, out of order, too much, or go away. What should come of it is known from [`expected`].

use skein_core::dispatch::{Dispatcher, Limits, Outcome, TaskId};
use skein_core::{Millis, Sequence, StreamId, WorkerId};

use crate::Report;
use crate::chance::Chance;
use expected::Expected;

mod expected;
mod healing;

/// Steps of the safety phase: enough for every kind of fault to meet every other in most runs.
const STEPS: u64 = 2_000;
/// Few streams and workers, so that the same ids come back often.
const STREAMS: u64 = 4;
const WORKERS: u64 = 5;
/// Each time a stream is opened again its client counts attempts from above all that it may have used before.
const ATTEMPTS_AN_OPENING: u32 = 64;

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
    dispatcher: Dispatcher<u64, u64>,
    expected: Expected,
    flying: Vec<Flying>,
    /// How often streams were opened; every payload says under which opening it was submitted.
    openings: u32,
}

/// Runs this world from a seed.
pub fn run(seed: u64) -> Report {
    let mut chance = Chance::new(seed ^ 0xd15b);
    let tasks_max = chance.index(30) + 2;
    let limits = Limits { tasks_max, streams_max: 3, attempts_max: chance.small(1..5) };
    let mut world = World {
        chance,
        now: Millis(0),
        dispatcher: Dispatcher::new(limits),
        expected: Expected::new(limits),
        flying: Vec::new(),
        openings: 0,
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
            35..43 => self.attach(),
            43..48 => self.lose(),
            48..80 => self.answer(),
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
        let submitted = self.dispatcher.submit(id, attempt_first, payload);
        let should = self.expected.submit(id, attempt_first, payload);
        self.chance.check(submitted == should, || format!("{id:?} submitted: {submitted:?}, should be {should:?}"));
        self.chance.count(match submitted {
            Ok(()) if self.expected.is_overfull() => "task_taken_in_its_turn_when_full",
            Ok(()) => "task_submitted",
            Err(skein_core::dispatch::Refused::Full) => "task_refused_full",
            Err(skein_core::dispatch::Refused::NoStream) => "task_refused_no_stream",
            Err(skein_core::dispatch::Refused::Duplicate) => "task_refused_duplicate",
        });
    }

    fn attach(&mut self) {
        let worker = WorkerId(1 + self.chance.number(0..WORKERS));
        let credits = self.chance.small(0..5);
        self.dispatcher.on_worker(worker, credits);
        self.expected.attach(worker, credits);
        self.chance.count("worker_attached");
    }

    fn lose(&mut self) {
        let worker = WorkerId(1 + self.chance.number(0..WORKERS));
        self.dispatcher.on_lost(worker);
        let (again, given_up) = self.expected.lose(worker);
        (0..again).for_each(|_| self.chance.count("attempt_lost_and_run_again"));
        (0..given_up).for_each(|_| self.chance.count("task_failed_after_its_attempts"));
        self.chance.count("worker_lost");
    }

    /// Some worker answers something it once got, perhaps long after it was given up, perhaps not for the last time.
    fn answer(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.chance.index(self.flying.len());
        let Flying { worker, task, attempt, payload } = self.flying[at].clone();
        if self.chance.percent(15) {
            self.chance.count("answer_doubled");
        } else {
            self.flying.swap_remove(at);
        }
        let outcome =
            if self.chance.percent(90) { Outcome::Done(payload) } else { Outcome::Failed("it cannot be".into()) };
        self.answer_with(worker, task, attempt, outcome);
    }

    fn answer_nonsense(&mut self) {
        let worker = WorkerId(self.chance.number(0..WORKERS + 2));
        if let Some(other) = self.chance.pick(self.flying.clone()) {
            // As if it had been asked in the other's place.
            self.answer_with(worker, other.task, other.attempt, Outcome::Done(0));
        }
        let task = TaskId { stream: self.any_stream(), sequence: Sequence(self.chance.number(0..40)) };
        // No attempt has this number: all begin above.
        self.answer_with(worker, task, 0, Outcome::Done(0));
    }

    fn answer_with(&mut self, worker: WorkerId, task: TaskId, attempt: u32, outcome: Outcome<u64>) {
        let should = self.expected.answer(worker, task, attempt, &outcome);
        let taken = self.dispatcher.on_result(self.now, worker, task, attempt, outcome);
        let what = || format!("attempt {attempt} of {task:?} by worker {worker}: taken {taken}, should be {should}");
        self.chance.check(taken == should, what);
        self.chance.count(if taken { "answer_taken" } else { "answer_fenced" });
    }

    fn fail_all(&mut self) {
        self.dispatcher.fail_all("the session ended");
        self.expected.fail_all("the session ended");
        self.chance.count("session_failed_all");
    }

    fn send(&mut self) {
        while let Some(send) = self.dispatcher.next_send(self.now) {
            let wrong = self.expected.send(&send);
            self.chance.check(wrong.is_none(), || format!("{send:?}: {}", wrong.unwrap_or_default()));
            let (worker, task, attempt, payload) = (send.worker, send.task, send.attempt, send.payload);
            self.flying.push(Flying { worker, task, attempt, payload });
            self.chance.count("attempt_sent");
        }
        let idle = self.expected.could_send();
        self.chance.check(!idle, || "a task waits though a worker has a credit".into());
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
    }

    fn any_stream(&mut self) -> StreamId {
        StreamId(1 + self.chance.number(0..STREAMS))
    }
}
