//! Which of the tasks that wait is sent first, and how many there are.

use skein_core::dispatch::Demand;
use skein_core::session::PRIORITY_MAX;

use super::*;

impl Gateway {
    fn submit_with(&mut self, sequence: u64, priority: u8) {
        self.dispatcher.submit(task(S, sequence), 1, priority, "payload").expect("there is room");
    }

    /// All that wait, as one worker gets them after the other.
    fn one_by_one(&mut self) -> Vec<u64> {
        let mut order = Vec::new();
        while let [(worker, sequence, attempt)] = self.send()[..] {
            order.push(sequence);
            self.answer(worker, sequence, attempt);
        }
        order
    }
}

#[test]
fn higher_priorities_go_first_and_equals_in_the_order_they_came() {
    let mut gateway = Gateway::unordered();
    for (sequence, priority) in [(0, 50), (1, 0), (2, 100), (3, 50), (4, 51), (5, 100)] {
        gateway.submit_with(sequence, priority);
    }
    gateway.attach(W, 1);
    assert_eq!(gateway.one_by_one(), [2, 5, 4, 0, 3, 1]);
}

#[test]
fn no_priority_is_above_the_highest() {
    let mut gateway = Gateway::unordered();
    gateway.submit_with(0, PRIORITY_MAX);
    gateway.submit_with(1, u8::MAX);
    gateway.attach(W, 1);
    assert_eq!(gateway.one_by_one(), [0, 1]);
}

#[test]
fn what_was_lost_or_failed_keeps_its_place_among_its_equals() {
    let mut gateway = Gateway::with(false, Retry { back_off: Millis(0), ..Retry::default() });
    gateway.attach(W, 2);
    for (sequence, priority) in [(0, 10), (1, 10), (2, 10), (3, 90)] {
        gateway.submit_with(sequence, priority);
    }
    assert_eq!(gateway.send(), [(W, 3, 1), (W, 0, 1)]);
    gateway.submit_with(4, 90);
    gateway.fail(W, 0, 1);
    gateway.lose(W);
    gateway.attach(V, 1);
    assert_eq!(gateway.one_by_one(), [3, 4, 0, 1, 2]);
}

#[test]
fn demand_counts_what_waits_and_what_runs() {
    let mut gateway = Gateway::ordered();
    (0..5).for_each(|sequence| gateway.submit(sequence).unwrap());
    let demand = |gateway: &Gateway| {
        let Demand { waiting, running } = gateway.dispatcher.demand();
        (waiting, running)
    };
    assert_eq!(demand(&gateway), (5, 0));
    gateway.attach(W, 3);
    gateway.send();
    assert_eq!(demand(&gateway), (2, 3));
    gateway.fail(W, 0, 1);
    assert_eq!(demand(&gateway), (3, 2), "what rests waits too");
    gateway.answer(W, 1, 1);
    assert_eq!(demand(&gateway), (3, 1), "what has ended is no demand, though it is not delivered");
    gateway.lose(W);
    assert_eq!(demand(&gateway), (4, 0));
    gateway.attach(V, 1);
    gateway.send();
    gateway.dispatcher.close_stream(S);
    assert_eq!(demand(&gateway), (0, 0));
    gateway.sound();
}
