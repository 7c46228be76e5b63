//! Which worker gets the next task: the one that should answer first.

use std::collections::BTreeMap;

use skein_core::dispatch::history::Fault;
use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Dispatcher, Limits, TaskId};
use skein_core::session::PRIORITY_DEFAULT;
use skein_core::{Millis, NodeId, Sequence, StreamId, WorkerId};

const STREAM: StreamId = StreamId(1);
const QUICK: WorkerId = WorkerId(2);
const SLOW: WorkerId = WorkerId(1);

/// One task after another on workers of known speed.
struct Bench {
    dispatcher: Dispatcher<(), (), ()>,
    took_ms: BTreeMap<WorkerId, u64>,
    now: Millis,
    next: u64,
}

impl Bench {
    fn of(took_ms: &[(WorkerId, u64)]) -> Self {
        let limits = Limits { tasks_max: 100, streams_max: 1, losses_max: 1 };
        let dispatcher = Dispatcher::new(limits, Retry { local: 0, hosts: 1, back_off: Millis(0) });
        let mut bench = Self { dispatcher, took_ms: BTreeMap::new(), now: Millis(0), next: 0 };
        bench.dispatcher.open_stream(STREAM, false, Sequence(0)).expect("the first stream");
        for (worker, took_ms) in took_ms {
            bench.attach(*worker, *took_ms);
        }
        bench
    }

    fn attach(&mut self, worker: WorkerId, took_ms: u64) {
        self.dispatcher.on_worker(worker, NodeId(worker.0), 4);
        self.took_ms.insert(worker, took_ms);
    }

    fn send(&mut self) -> (WorkerId, TaskId) {
        let task = TaskId { stream: STREAM, sequence: Sequence(self.next) };
        self.next += 1;
        self.dispatcher.submit(task, 1, PRIORITY_DEFAULT, ()).expect("there is room");
        let send = self.dispatcher.next_send(self.now).expect("somebody has a credit");
        (send.worker, send.task)
    }

    fn answer(&mut self, worker: WorkerId, task: TaskId) {
        assert!(self.dispatcher.on_result(self.now, worker, task, 1, Ok(())));
        self.dispatcher.next_delivery().expect("it was answered");
    }

    /// One task, alone: who did it.
    fn one(&mut self) -> WorkerId {
        let (worker, task) = self.send();
        self.now.0 += self.took_ms[&worker];
        self.answer(worker, task);
        worker
    }

    fn shares(&mut self, tasks: usize) -> BTreeMap<WorkerId, usize> {
        let mut shares = BTreeMap::new();
        (0..tasks).for_each(|_| *shares.entry(self.one()).or_default() += 1);
        shares
    }
}

#[test]
fn everyone_is_tried_once_then_the_quickest_is_preferred() {
    let mut bench = Bench::of(&[(SLOW, 50), (QUICK, 10)]);
    let first: Vec<WorkerId> = (0..6).map(|_| bench.one()).collect();
    assert_eq!(first, [SLOW, QUICK, QUICK, QUICK, QUICK, QUICK]);
}

#[test]
fn equals_share_what_comes_at_once() {
    let mut bench = Bench::of(&[(WorkerId(1), 10), (WorkerId(2), 10)]);
    bench.shares(2);
    let at_once: Vec<WorkerId> = (0..4).map(|_| bench.send().0).collect();
    assert_eq!(at_once, [WorkerId(1), WorkerId(2), WorkerId(1), WorkerId(2)]);
}

#[test]
fn a_slower_worker_helps_when_the_quick_one_is_busy_enough() {
    let mut bench = Bench::of(&[(SLOW, 25), (QUICK, 10)]);
    bench.shares(2);
    // Two on the quick one take 20 ms; a third would take 30, longer than the slow one's 25.
    let at_once: Vec<WorkerId> = (0..4).map(|_| bench.send().0).collect();
    assert_eq!(at_once, [QUICK, QUICK, SLOW, QUICK]);
}

/// Four tasks in the queue of one worker: the last one's answer took four times as long, and the worker is not slower.
#[test]
fn waiting_behind_others_is_not_held_against_a_worker() {
    let mut bench = Bench::of(&[(QUICK, 10)]);
    bench.one();
    for _ in 0..3 {
        let sent: Vec<_> = (0..4).map(|_| bench.send()).collect();
        for (worker, task) in sent {
            bench.now.0 += 10;
            bench.answer(worker, task);
        }
    }
    bench.attach(SLOW, 11);
    assert_eq!([bench.one(), bench.one()], [SLOW, QUICK], "the new one is tried, and is slower");
}

#[test]
fn a_worker_that_slows_down_is_noticed() {
    let mut bench = Bench::of(&[(SLOW, 20), (QUICK, 10)]);
    bench.shares(10);
    bench.took_ms.insert(QUICK, 100);
    let shares = bench.shares(30);
    assert!(shares[&SLOW] >= 20, "{shares:?}");
}

/// Its first task found a cold cache; it is not left idle for ever.
#[test]
fn a_worker_that_was_slow_once_is_tried_again() {
    let mut bench = Bench::of(&[(SLOW, 500), (QUICK, 10)]);
    assert_eq!(bench.one(), SLOW);
    bench.took_ms.insert(SLOW, 9);
    let shares = bench.shares(2_000);
    assert!(shares[&SLOW] > 500, "{shares:?}");
}

/// It cannot run the model and says so at once. Each of its failures would go to the other worker in the end, but most
/// tasks should not have to fail first.
#[test]
fn one_that_fails_at_once_does_not_look_quick() {
    let mut bench = Bench::of(&[(SLOW, 20), (QUICK, 10)]);
    let mut failures = 0;
    for _ in 0..1_000 {
        let (mut worker, task) = bench.send();
        let mut attempt = 1;
        if worker == QUICK {
            let broken = Err(Fault::Place("it is broken".into()));
            assert!(bench.dispatcher.on_result(bench.now, worker, task, 1, broken));
            failures += 1;
            worker = bench.dispatcher.next_send(bench.now).expect("the other one has a credit").worker;
            attempt = 2;
        }
        bench.now.0 += bench.took_ms[&worker];
        assert_eq!(worker, SLOW, "it was not tried yet");
        assert!(bench.dispatcher.on_result(bench.now, worker, task, attempt, Ok(())));
        bench.dispatcher.next_delivery().expect("it was answered");
    }
    assert!((1..10).contains(&failures), "{failures} of 1000 tasks failed first");
}
