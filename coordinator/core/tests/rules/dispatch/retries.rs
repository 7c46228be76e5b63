//! What failed is tried again: where, when, how often, and what not.

use skein_core::dispatch::ATTEMPTS_MAX;
use skein_core::dispatch::history::{FailedAttempt, REASON_BYTES_MAX};
use skein_core::dispatch::retry::{BACK_OFF_MAX, HOSTS_MAX, LOCAL_MAX};

use super::*;

const X: WorkerId = WorkerId(3);

fn at_once(local: u32, hosts: u32) -> Retry {
    Retry { local, hosts, back_off: Millis(0) }
}

/// One task, on these workers, each on its own node.
fn one_task(retry: Retry, workers: &[WorkerId]) -> Gateway {
    let mut gateway = Gateway::with(true, retry);
    for worker in workers {
        gateway.attach(*worker, 1);
    }
    gateway.submit(0).expect("there is room");
    gateway
}

impl Gateway {
    /// Lets the first task fail until it is over; on which workers it was.
    fn fail_on(&mut self) -> Vec<u64> {
        let mut on = Vec::new();
        while let [(worker, 0, attempt)] = self.send()[..] {
            on.push(worker.0);
            assert!(self.fail(worker, 0, attempt));
            // Whoever is idle becomes quick again: where it goes next must not hang on that.
            self.now.0 += 100_000;
        }
        on
    }

    fn reason(&mut self) -> String {
        let Outcome::Failed(reason) = self.deliveries().remove(0).outcome else { panic!("it was done") };
        reason
    }
}

#[test]
fn a_failed_task_is_tried_on_the_same_node_then_on_others_not_yet_tried_then_it_fails() {
    assert_eq!(one_task(at_once(1, 2), &[V, W, X]).fail_on(), [1, 1, 2, 2, 3, 3]);
    assert_eq!(one_task(at_once(0, 2), &[V, W, X]).fail_on(), [1, 2, 3]);
    assert_eq!(one_task(at_once(2, 0), &[V, W, X]).fail_on(), [1, 1, 1]);
    assert_eq!(one_task(at_once(0, 0), &[V, W, X]).fail_on(), [1]);
}

#[test]
fn when_all_were_tried_it_goes_where_its_failure_is_longest_ago() {
    assert_eq!(one_task(at_once(0, 4), &[V, W]).fail_on(), [1, 2, 1, 2, 1]);
    assert_eq!(one_task(at_once(1, 2), &[W]).fail_on(), [2; 6], "where there is one node, it is that one");
}

#[test]
fn a_node_is_a_node_however_many_workers_it_has() {
    let mut gateway = one_task(at_once(0, 1), &[V]);
    gateway.dispatcher.on_worker(W, NodeId(V.0), 1);
    gateway.attach(X, 1);
    assert_eq!(gateway.fail_on(), [1, 3]);
}

#[test]
fn a_failed_task_says_what_happened_each_time() {
    let mut gateway = one_task(at_once(1, 0), &[V]);
    gateway.fail_on();
    let ledger = Ledger { submitted: 1, failed: 1, failed_attempts: 2, ..Ledger::default() };
    assert_eq!(gateway.ledger(), ledger);
    let delivery = gateway.deliveries().remove(0);
    assert_eq!((delivery.attempt, delivery.worker), (2, Some(V)));
    let (worker, node, reason) = (V, NodeId(1), "it got too hot".to_string());
    let first = FailedAttempt { attempt: 1, worker, node, at: Millis(0), lost: false, reason };
    let second = FailedAttempt { attempt: 2, at: Millis(100_000), ..first.clone() };
    assert_eq!(delivery.history, [first, second]);
    let why = "tried 2 times: attempt 1 on node 0000000000000001, worker 1: it got too hot; \
               attempt 2 on node 0000000000000001, worker 1: it got too hot";
    assert_eq!(delivery.outcome, Outcome::Failed(why.into()));
}

#[test]
fn a_task_that_is_done_in_the_end_has_its_history_too() {
    let mut gateway = one_task(at_once(1, 0), &[V]);
    gateway.send();
    gateway.fail(V, 0, 1);
    assert_eq!(gateway.send(), [(V, 0, 2)]);
    assert!(gateway.answer(V, 0, 2));
    let delivery = gateway.deliveries().remove(0);
    assert_eq!((delivery.outcome, delivery.history.len()), (Outcome::Done(2), 1));
}

#[test]
fn what_is_the_tasks_own_fault_is_not_tried_again() {
    let mut gateway = one_task(at_once(5, 5), &[V, W]);
    gateway.send();
    gateway.fail(V, 0, 1);
    gateway.send();
    assert!(gateway.end(V, 0, 2, Err(Fault::Task("not a picture".into()))));
    assert_eq!(gateway.send(), []);
    let why = "not a picture; before that, attempt 1 on node 0000000000000001, worker 1: it got too hot";
    assert_eq!(gateway.reason(), why);
    assert_eq!(gateway.ledger().failed_attempts, 1);
}

#[test]
fn each_retry_waits_twice_as_long_as_the_one_before() {
    let mut gateway = one_task(Retry { local: 16, hosts: 0, back_off: Millis(50) }, &[V]);
    let mut waits = Vec::new();
    for attempt in 1..=13 {
        assert_eq!(gateway.send(), [(V, 0, attempt)]);
        gateway.fail(V, 0, attempt);
        let wake_at = gateway.dispatcher.wake_at().expect("it is tried again");
        waits.push(wake_at.since(gateway.now).0);
        gateway.now = Millis(wake_at.0 - 1);
        assert_eq!(gateway.send(), [], "not before its time");
        gateway.now = wake_at;
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
    gateway.send();
    assert_eq!(gateway.dispatcher.wake_at(), None, "nothing waits for its time");
}

#[test]
fn others_are_sent_while_one_rests() {
    let mut gateway = one_task(Retry::default(), &[V]);
    gateway.send();
    gateway.fail(V, 0, 1);
    gateway.submit(1).unwrap();
    assert_eq!(gateway.send(), [(V, 1, 1)]);
    gateway.now = Millis(50);
    gateway.submit(2).unwrap();
    gateway.answer(V, 1, 1);
    assert_eq!(gateway.send(), [(V, 0, 2)], "it came before");
}

#[test]
fn it_waits_for_its_node_while_others_take_what_is_free() {
    let mut gateway = one_task(at_once(1, 1), &[V, W]);
    gateway.submit(1).unwrap();
    assert_eq!(gateway.send(), [(V, 0, 1), (W, 1, 1)]);
    gateway.fail(V, 0, 1);
    gateway.submit(2).unwrap();
    gateway.answer(W, 1, 1);
    assert_eq!(gateway.send(), [(V, 0, 2), (W, 2, 1)]);
    gateway.fail(V, 0, 2);
    gateway.submit(3).unwrap();
    assert_eq!(gateway.send(), [(V, 3, 1)], "its next node is busy");
    gateway.answer(W, 2, 1);
    assert_eq!(gateway.send(), [(W, 0, 3)]);
}

#[test]
fn it_goes_elsewhere_when_its_node_is_gone_and_that_costs_nothing() {
    let mut gateway = one_task(at_once(2, 0), &[V]);
    gateway.attach(W, 1);
    gateway.send();
    gateway.fail(V, 0, 1);
    gateway.lose(V);
    assert_eq!(gateway.fail_on(), [2, 2], "three tries in all");
    assert_eq!(gateway.deliveries()[0].history.len(), 3);
}

#[test]
fn it_takes_any_worker_that_comes_where_there_is_none() {
    let mut gateway = one_task(at_once(2, 0), &[V]);
    gateway.send();
    gateway.fail(V, 0, 1);
    gateway.lose(V);
    assert_eq!(gateway.send(), []);
    gateway.attach(W, 0);
    assert_eq!(gateway.send(), [], "that one never takes a task");
    gateway.attach(X, 1);
    assert_eq!(gateway.send(), [(X, 0, 2)]);
}

#[test]
fn losing_a_worker_costs_no_retry_and_no_time() {
    let mut gateway = one_task(Retry { local: 1, hosts: 0, back_off: Millis(50) }, &[V]);
    gateway.send();
    gateway.die(V, 0, 1);
    gateway.attach(V, 1);
    assert_eq!(gateway.send(), [(V, 0, 2)]);
    gateway.fail(V, 0, 2);
    gateway.now = Millis(50);
    assert_eq!(gateway.send(), [(V, 0, 3)], "the first retry");
    gateway.lose(V);
    gateway.attach(V, 1);
    assert_eq!(gateway.send(), [(V, 0, 4)]);
    gateway.fail(V, 0, 4);
    let why = gateway.reason();
    assert!(
        why.starts_with("tried 3 times: attempt 1 on node 0000000000000001, worker 1: the worker died while it worked on it; attempt 2"),
        "{why}"
    );
    let ledger = Ledger { submitted: 1, failed: 1, failed_attempts: 2, lost_attempts: 2, ..Ledger::default() };
    assert_eq!(gateway.ledger(), ledger);
}

#[test]
fn a_task_that_fails_and_kills_is_stopped_too() {
    let mut gateway = one_task(at_once(9, 0), &[V]);
    gateway.send();
    gateway.fail(V, 0, 1);
    for attempt in 2..=4 {
        assert_eq!(gateway.send(), [(V, 0, attempt)]);
        gateway.die(V, 0, attempt);
        gateway.attach(V, 1);
    }
    assert_eq!(gateway.send(), []);
    let why = gateway.reason();
    assert!(why.starts_with("tried 4 times: ") && why.ends_with(": the worker died while it worked on it"), "{why}");
}

#[test]
fn an_answer_that_comes_after_its_failure_is_fenced_off() {
    let mut gateway = one_task(Retry::default(), &[V]);
    gateway.send();
    gateway.fail(V, 0, 1);
    assert!(!gateway.answer(V, 0, 1), "the second attempt rests");
    assert!(!gateway.fail(V, 0, 1), "one failure is enough");
    assert!(!gateway.answer(V, 0, 2), "it was not sent yet");
    gateway.now = Millis(50);
    assert_eq!(gateway.send(), [(V, 0, 2)]);
    assert!(!gateway.answer(V, 0, 1), "it runs");
    assert!(gateway.answer(V, 0, 2));
    assert_eq!(gateway.delivered(), [0]);
}

#[test]
fn a_worker_that_is_leaving_gets_nothing_new_and_ends_what_it_has() {
    let mut gateway = Gateway::ordered();
    gateway.attach(V, 2);
    gateway.submit(0).unwrap();
    gateway.send();
    gateway.dispatcher.on_leaving(V);
    gateway.dispatcher.on_leaving(V);
    gateway.submit(1).unwrap();
    assert_eq!(gateway.send(), []);
    assert!(gateway.answer(V, 0, 1));
    assert_eq!(gateway.send(), []);
    gateway.attach(V, 2);
    assert_eq!(gateway.send(), [(V, 1, 1)], "it stays after all");
    gateway.dispatcher.on_leaving(X);
    assert_eq!(gateway.dispatcher.worker_count(), 1, "nobody knows that one");
}

#[test]
fn what_waits_for_a_node_does_not_wait_for_one_whose_workers_leave() {
    let mut gateway = one_task(at_once(1, 0), &[V, W]);
    gateway.send();
    gateway.fail(V, 0, 1);
    gateway.dispatcher.on_leaving(V);
    assert_eq!(gateway.send(), [(W, 0, 2)]);
}

/// Preempted so often: that is the plan's doing, not the task's.
#[test]
fn what_is_lost_with_a_leaving_worker_is_never_held_against_a_task() {
    let mut gateway = one_task(at_once(0, 0), &[]);
    for attempt in 1..=20 {
        gateway.attach(V, 1);
        assert_eq!(gateway.send(), [(V, 0, attempt)]);
        gateway.dispatcher.on_leaving(V);
        gateway.lose(V);
    }
    gateway.attach(V, 1);
    assert_eq!(gateway.send(), [(V, 0, 21)]);
    gateway.answer(V, 0, 21);
    let delivery = gateway.deliveries().remove(0);
    assert_eq!((delivery.outcome, delivery.history), (Outcome::Done(21), vec![]));
    assert_eq!(gateway.ledger().lost_attempts, 20);
}

#[test]
fn but_no_task_is_sent_for_ever() {
    let mut gateway = one_task(at_once(0, 0), &[]);
    let mut sent = 0;
    loop {
        gateway.dispatcher.on_worker(V, NodeId(1), 1);
        if gateway.dispatcher.next_send(NOW).is_none() {
            break;
        }
        sent += 1;
        gateway.dispatcher.on_leaving(V);
        gateway.dispatcher.on_lost(NOW, V, Loss::Gone);
    }
    assert_eq!(sent, ATTEMPTS_MAX);
    assert_eq!(gateway.reason(), "sent 4096 times, and no worker was there until it was done");
}

/// Whatever the last of its attempts came to, there is a last one.
#[test]
fn a_failure_begins_no_attempt_too_many_either() {
    let mut gateway = one_task(at_once(1, 0), &[]);
    for _ in 1..ATTEMPTS_MAX {
        gateway.dispatcher.on_worker(V, NodeId(1), 1);
        gateway.dispatcher.next_send(NOW).expect("it may be sent so often");
        gateway.dispatcher.on_lost(NOW, V, Loss::Gone);
    }
    gateway.attach(V, 1);
    assert_eq!(gateway.send(), [(V, 0, ATTEMPTS_MAX)]);
    assert!(gateway.fail(V, 0, ATTEMPTS_MAX));
    assert_eq!(gateway.send(), []);
    assert_eq!(gateway.reason(), "sent 4096 times, and no worker was there until it was done");
}

#[test]
fn the_next_attempt_starts_from_the_newest_checkpoint() {
    let mut gateway = one_task(at_once(1, 0), &[V]);
    let checkpoint = |gateway: &mut Gateway, worker, attempt, what| {
        gateway.dispatcher.on_checkpoint(worker, task(S, 0), attempt, what)
    };
    assert!(!checkpoint(&mut gateway, V, 1, "before it ran"));
    assert_eq!(gateway.dispatcher.next_send(NOW).unwrap().checkpoint, None);
    assert!(checkpoint(&mut gateway, V, 1, "a third"));
    assert!(checkpoint(&mut gateway, V, 1, "two thirds"));
    assert!(!checkpoint(&mut gateway, W, 1, "another worker's"));
    gateway.lose(V);
    assert!(!checkpoint(&mut gateway, V, 1, "of one that was given up"));
    gateway.attach(V, 1);
    assert_eq!(gateway.dispatcher.next_send(NOW).unwrap().checkpoint, Some("two thirds"));
    assert!(!checkpoint(&mut gateway, V, 1, "of the older attempt"));
    gateway.fail(V, 0, 2);
    assert_eq!(gateway.dispatcher.next_send(NOW).unwrap().checkpoint, Some("two thirds"));
    assert!(gateway.answer(V, 0, 3));
    assert!(!checkpoint(&mut gateway, V, 3, "too late"));
}

#[test]
fn a_long_reason_is_cut_between_two_letters() {
    let mut gateway = one_task(at_once(0, 0), &[V]);
    gateway.send();
    gateway.end(V, 0, 1, Err(Fault::Place("ü".repeat(REASON_BYTES_MAX))));
    assert_eq!(gateway.deliveries()[0].history[0].reason, "ü".repeat(REASON_BYTES_MAX / 2));
}

#[test]
fn a_rule_out_of_bounds_is_refused_in_words() {
    let wrong = |retry: Retry| retry.check().expect_err("it is out of bounds");
    assert_eq!(Retry::default().check(), Ok(()));
    let most = Retry { local: LOCAL_MAX, hosts: HOSTS_MAX, back_off: BACK_OFF_MAX };
    assert_eq!((most.check(), most.tries()), (Ok(()), 289));
    assert_eq!(wrong(Retry { local: 17, ..most }), "a task may be retried 16 times on a node at most, not 17");
    assert_eq!(wrong(Retry { hosts: 17, ..most }), "a task may be retried on 16 further nodes at most, not 17");
    let wait = Retry { back_off: Millis(60_001), ..most };
    assert_eq!(wrong(wait), "the wait before a retry may be 60000 ms at most, not 60001 ms");
}

#[test]
fn a_rule_that_nobody_checked_is_bounded_all_the_same() {
    assert_eq!(Retry { local: u32::MAX, hosts: u32::MAX, back_off: Millis(u64::MAX) }.tries(), 289);
}
