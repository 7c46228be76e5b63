//! Every change of a task is told.

use skein_core::dispatch::events::{EVENTS_MAX, TaskChange, TaskEvent};

use super::*;

impl Gateway {
    /// What happened after this event: to which task, in which attempt, and why.
    fn told(&self, since: u64) -> Vec<(u64, u32, String)> {
        let words = |event: &TaskEvent| (event.task.sequence.0, event.attempt, event.change.to_string());
        self.dispatcher.events_since(since).map(words).collect()
    }
}

fn told(sequence: u64, attempt: u32, why: &str) -> (u64, u32, String) {
    (sequence, attempt, why.into())
}

#[test]
fn every_change_of_a_task_is_an_event_with_its_reason() {
    let mut gateway = Gateway::with(true, Retry { local: 1, hosts: 0, back_off: Millis(50) });
    gateway.attach(W, 1);
    gateway.submit(0).unwrap();
    gateway.send();
    gateway.dispatcher.on_checkpoint(W, task(S, 0), 1, "half of it");
    gateway.die(W, 0, 1);
    gateway.attach(W, 1);
    gateway.send();
    gateway.fail(W, 0, 2);
    gateway.now = Millis(50);
    gateway.send();
    gateway.fail(W, 0, 3);
    let story = [
        told(0, 1, "a client submitted it"),
        told(0, 1, "worker 2 had room for it"),
        told(0, 1, "the attempt wrote a checkpoint"),
        told(0, 1, "worker 2 died while it worked on it"),
        told(0, 2, "worker 2 had room for it"),
        told(0, 2, "the attempt failed: it got too hot"),
        told(0, 3, "it is tried again after 50 ms"),
        told(0, 3, "worker 2 had room for it"),
        told(0, 3, "the attempt failed: it got too hot"),
    ];
    let all = gateway.told(0);
    assert_eq!(all[..9], story);
    assert!(all[9].2.starts_with("it is not tried again: tried 3 times: attempt 1 on node"), "{:?}", all[9]);
    assert_eq!(all.len(), 10);
}

#[test]
fn the_good_end_and_the_closed_stream_are_told_too() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 1);
    gateway.submit(0).unwrap();
    gateway.submit(1).unwrap();
    gateway.send();
    gateway.answer(W, 0, 1);
    gateway.dispatcher.close_stream(S);
    assert_eq!(gateway.told(3), [told(0, 1, "the worker answered"), told(1, 1, "its client went away")]);
    assert_eq!(gateway.told(5), []);
    assert_eq!(gateway.told(u64::MAX), []);
}

#[test]
fn a_way_that_breaks_and_one_that_is_closed_are_told_apart() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 1);
    gateway.submit(0).unwrap();
    gateway.send();
    gateway.lose(W);
    gateway.attach(W, 1);
    let send = gateway.dispatcher.next_send(NOW).unwrap();
    gateway.dispatcher.on_unsent(W, send.task, send.attempt);
    let story = [
        told(0, 1, "worker 2 was lost, which costs nothing"),
        told(0, 2, "worker 2 had room for it"),
        told(0, 2, "the way to worker 2 was closed, and it was not sent"),
    ];
    assert_eq!(gateway.told(2), story);
}

#[test]
fn what_was_overwritten_is_counted() {
    let mut gateway = Gateway::unordered();
    gateway.attach(W, 1);
    for sequence in 0..1_000 {
        gateway.submit(sequence).unwrap();
        assert_eq!(gateway.send(), [(W, sequence, 1)]);
        gateway.answer(W, sequence, 1);
        gateway.delivered();
    }
    let kept: Vec<&TaskEvent> = gateway.dispatcher.events_since(0).collect();
    assert_eq!((kept.len(), gateway.dispatcher.events_overwritten()), (EVENTS_MAX, 3_000 - EVENTS_MAX as u64));
    assert_eq!(kept[0].sequence, 3_001 - EVENTS_MAX as u64);
    let last = TaskEvent { sequence: 3_000, task: task(S, 999), attempt: 1, change: TaskChange::Done };
    assert_eq!(kept.last(), Some(&&last));
}
