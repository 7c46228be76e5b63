//! What a gateway does with each task.

use skein_core::dispatch::history::Fault;
use skein_core::dispatch::ledger::Ledger;
use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Delivery, Dispatcher, Limits, Loss, Outcome, Refused, Send, TaskId};
use skein_core::session::PRIORITY_DEFAULT;
use skein_core::{Millis, NodeId, Sequence, StreamId, WorkerId};

mod events;
mod order;
mod retries;

const S: StreamId = StreamId(1);
const T: StreamId = StreamId(2);
const V: WorkerId = WorkerId(1);
const W: WorkerId = WorkerId(2);
const NOW: Millis = Millis(0);
const LIMITS: Limits = Limits { tasks_max: 10, streams_max: 3, losses_max: 3 };

/// A gateway, with one open stream.
struct Gateway {
    dispatcher: Dispatcher<&'static str, u64, &'static str>,
    now: Millis,
}

fn task(stream: StreamId, sequence: u64) -> TaskId {
    TaskId { stream, sequence: Sequence(sequence) }
}

impl Gateway {
    fn ordered() -> Self {
        Self::with(true, Retry::default())
    }

    fn unordered() -> Self {
        Self::with(false, Retry::default())
    }

    fn with(ordered: bool, retry: Retry) -> Self {
        let mut gateway = Self { dispatcher: Dispatcher::new(LIMITS, retry), now: NOW };
        gateway.dispatcher.open_stream(S, ordered, Sequence(0)).expect("the first stream");
        gateway
    }

    fn submit(&mut self, sequence: u64) -> Result<(), Refused> {
        self.dispatcher.submit(task(S, sequence), 1, PRIORITY_DEFAULT, "payload")
    }

    /// Each worker stands on a node of its own, of the same number, where a story does not say otherwise.
    fn attach(&mut self, worker: WorkerId, credits: u32) {
        self.dispatcher.on_worker(worker, NodeId(worker.0), credits);
        self.sound();
    }

    /// Everything that can be sent now.
    fn send(&mut self) -> Vec<(WorkerId, u64, u32)> {
        let sends: Vec<Send<&str, &str>> = std::iter::from_fn(|| self.dispatcher.next_send(self.now)).collect();
        self.sound();
        sends.into_iter().map(|send| (send.worker, send.task.sequence.0, send.attempt)).collect()
    }

    fn answer(&mut self, worker: WorkerId, sequence: u64, attempt: u32) -> bool {
        self.end(worker, sequence, attempt, Ok(u64::from(attempt)))
    }

    fn fail(&mut self, worker: WorkerId, sequence: u64, attempt: u32) -> bool {
        self.end(worker, sequence, attempt, Err(Fault::Place("it got too hot".into())))
    }

    fn end(&mut self, worker: WorkerId, sequence: u64, attempt: u32, result: Result<u64, Fault>) -> bool {
        let taken = self.dispatcher.on_result(self.now, worker, task(S, sequence), attempt, result);
        self.sound();
        taken
    }

    fn lose(&mut self, worker: WorkerId) {
        self.dispatcher.on_lost(self.now, worker, Loss::Gone);
        self.sound();
    }

    /// The worker's process dies while it works on this.
    fn die(&mut self, worker: WorkerId, sequence: u64, attempt: u32) {
        self.dispatcher.on_lost(self.now, worker, Loss::Died { task: task(S, sequence), attempt });
        self.sound();
    }

    fn deliveries(&mut self) -> Vec<Delivery<u64>> {
        std::iter::from_fn(|| self.dispatcher.next_delivery()).collect()
    }

    fn delivered(&mut self) -> Vec<u64> {
        self.deliveries().into_iter().map(|delivery| delivery.task.sequence.0).collect()
    }

    fn ledger(&self) -> Ledger {
        *self.dispatcher.ledger(S).expect("the stream is open")
    }

    fn sound(&self) {
        assert_eq!(self.dispatcher.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_task_goes_to_a_worker_and_its_answer_to_its_stream() {
    let mut gateway = Gateway::ordered();
    gateway.submit(0).unwrap();
    assert_eq!(gateway.send(), [], "nobody is there yet");
    gateway.attach(W, 1);
    let send = gateway.dispatcher.next_send(NOW).unwrap();
    assert_eq!(send, Send { worker: W, task: task(S, 0), attempt: 1, payload: "payload", checkpoint: None });
    assert_eq!(gateway.dispatcher.pending(S), 1);
    assert!(gateway.answer(W, 0, 1));
    let delivery =
        Delivery { task: task(S, 0), attempt: 1, worker: Some(W), outcome: Outcome::Done(1), history: vec![] };
    assert_eq!(gateway.deliveries(), [delivery]);
    assert_eq!(gateway.ledger(), Ledger { submitted: 1, done: 1, ..Ledger::default() });
    assert_eq!(gateway.dispatcher.pending(S), 0);
}

#[test]
fn tasks_go_out_in_the_order_they_came_and_never_beyond_the_credits() {
    let mut gateway = Gateway::ordered();
    (0..5).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.attach(V, 2);
    gateway.attach(W, 0);
    assert_eq!(gateway.send(), [(V, 0, 1), (V, 1, 1)]);
    gateway.answer(V, 1, 1);
    assert_eq!(gateway.send(), [(V, 2, 1)]);
    gateway.attach(V, 9);
    assert_eq!(gateway.send(), [], "the credits of a worker that is known stand");
    assert_eq!(gateway.dispatcher.worker_count(), 2);
}

#[test]
fn an_ordered_stream_waits_for_whose_turn_it_is() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 9);
    (0..4).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    gateway.answer(W, 2, 1);
    gateway.answer(W, 1, 1);
    assert_eq!(gateway.delivered(), []);
    gateway.answer(W, 0, 1);
    assert_eq!(gateway.delivered(), [0, 1, 2]);
    gateway.answer(W, 3, 1);
    assert_eq!(gateway.delivered(), [3]);
}

#[test]
fn an_unordered_stream_does_not() {
    let mut gateway = Gateway::unordered();
    gateway.attach(W, 9);
    (0..3).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    gateway.answer(W, 2, 1);
    assert_eq!(gateway.delivered(), [2]);
    gateway.answer(W, 0, 1);
    assert_eq!(gateway.delivered(), [0]);
}

#[test]
fn a_failed_task_takes_its_place_in_the_order_too() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 9);
    (0..2).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    gateway.answer(W, 1, 1);
    gateway.dispatcher.on_result(NOW, W, task(S, 0), 1, Err(Fault::Task("no picture".into())));
    let outcomes: Vec<_> = gateway.deliveries().into_iter().map(|delivery| delivery.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed("no picture".into()), Outcome::Done(1)]);
    assert_eq!(gateway.ledger(), Ledger { submitted: 2, done: 1, failed: 1, ..Ledger::default() });
}

#[test]
fn what_a_lost_worker_had_runs_elsewhere_first_in_its_old_order() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 3);
    (0..5).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    gateway.answer(W, 1, 1);
    gateway.lose(W);
    gateway.attach(V, 9);
    assert_eq!(gateway.send(), [(V, 0, 2), (V, 2, 2), (V, 3, 1), (V, 4, 1)]);
    assert_eq!(gateway.ledger().lost_attempts, 2);
}

#[test]
fn an_answer_of_an_older_attempt_is_fenced_off() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 1);
    gateway.submit(0).unwrap();
    gateway.send();
    gateway.lose(W);
    assert!(!gateway.answer(W, 0, 1), "it waits for its second attempt");
    gateway.attach(V, 1);
    gateway.send();
    assert!(!gateway.answer(W, 0, 1), "the second runs");
    assert!(!gateway.answer(W, 0, 2), "but not there");
    assert!(!gateway.answer(V, 0, 1), "and not under this number");
    assert!(gateway.answer(V, 0, 2));
    assert!(!gateway.answer(V, 0, 2), "one answer is enough");
    assert_eq!(gateway.delivered(), [0]);
    assert_eq!(gateway.ledger(), Ledger { submitted: 1, done: 1, lost_attempts: 1, fenced: 5, ..Ledger::default() });
}

/// The way to a worker broke and was opened again, and an answer from before comes through.
#[test]
fn an_old_answer_does_not_free_the_place_of_the_new_attempt() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 1);
    gateway.submit(0).unwrap();
    gateway.submit(1).unwrap();
    gateway.send();
    gateway.lose(W);
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), [(W, 0, 2)]);
    assert!(!gateway.answer(W, 0, 1));
    assert_eq!(gateway.send(), [], "its one credit is taken");
    gateway.lose(W);
    gateway.attach(V, 9);
    assert_eq!(gateway.send(), [(V, 0, 3), (V, 1, 1)], "the task is not forgotten");
}

#[test]
fn a_task_that_kills_its_workers_does_not_kill_them_all() {
    let mut gateway = Gateway::ordered();
    gateway.submit(0).unwrap();
    for attempt in 1..=3 {
        gateway.attach(W, 1);
        assert_eq!(gateway.send(), [(W, 0, attempt)]);
        gateway.die(W, 0, attempt);
    }
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), []);
    let deliveries = gateway.deliveries();
    let Outcome::Failed(reason) = &deliveries[0].outcome else { panic!("it was done") };
    let last = "attempt 3 on node 0000000000000002, worker 2: the worker died while it worked on it";
    assert!(reason.starts_with("tried 3 times: attempt 1 on node ") && reason.ends_with(last), "{reason}");
    assert_eq!(deliveries[0].history.len(), 3);
    assert_eq!(gateway.ledger(), Ledger { submitted: 1, failed: 1, lost_attempts: 3, ..Ledger::default() });
}

#[test]
fn what_waits_behind_a_task_that_kills_its_workers_is_not_to_blame() {
    let mut gateway = Gateway::unordered();
    (0..4).for_each(|sequence| gateway.submit(sequence).unwrap());
    for attempt in 1..=3 {
        gateway.attach(W, 4);
        assert_eq!(gateway.send().len(), 4);
        gateway.die(W, 0, attempt);
    }
    assert_eq!(gateway.delivered(), [0], "only the one that it worked on");
    gateway.attach(W, 4);
    assert_eq!(gateway.send(), [(W, 1, 4), (W, 2, 4), (W, 3, 4)]);
    (1..4).for_each(|sequence| assert!(gateway.answer(W, sequence, 4)));
    assert!(gateway.deliveries().iter().all(|delivery| delivery.history.is_empty()));
    assert_eq!(gateway.ledger(), Ledger { submitted: 4, done: 3, failed: 1, lost_attempts: 12, ..Ledger::default() });
}

#[test]
fn however_many_nodes_are_lost_no_task_is_to_blame() {
    let mut gateway = Gateway::ordered();
    gateway.submit(0).unwrap();
    for attempt in 1..=20 {
        gateway.attach(W, 1);
        assert_eq!(gateway.send(), [(W, 0, attempt)]);
        gateway.lose(W);
    }
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), [(W, 0, 21)]);
}

/// A node with five workers is lost: the gateway hears of the first, sends what that one had to the next, and so on.
#[test]
fn what_finds_the_way_to_its_worker_closed_was_never_sent() {
    let mut gateway = Gateway::ordered();
    (0..2).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.dispatcher.on_worker(V, NodeId(1), 1);
    (2..7).for_each(|worker| gateway.dispatcher.on_worker(WorkerId(worker), NodeId(1), 1));
    assert_eq!(gateway.send().len(), 2);
    gateway.lose(V);
    for _ in 3..7 {
        let send = gateway.dispatcher.next_send(NOW).expect("there is one that was not tried");
        assert_eq!((send.task, send.attempt), (task(S, 0), 2), "as it was never sent, it is still the second");
        gateway.dispatcher.on_unsent(send.worker, send.task, send.attempt);
        gateway.sound();
    }
    assert_eq!(gateway.send(), [], "all ways are closed, and the second task is still at its worker");
    assert_eq!(gateway.dispatcher.pending(S), 2);
    gateway.attach(WorkerId(3), 1);
    assert_eq!(gateway.send(), [(WorkerId(3), 0, 2)], "one that comes again is used again");
    assert!(gateway.answer(WorkerId(3), 0, 2));
    assert_eq!(gateway.deliveries()[0].history, []);
}

#[test]
fn a_worker_that_died_of_something_else_blames_nothing() {
    let mut gateway = Gateway::ordered();
    gateway.submit(0).unwrap();
    for attempt in 1..=9 {
        gateway.attach(W, 1);
        assert_eq!(gateway.send(), [(W, 0, attempt)]);
        // Of a task of another gateway, or of an attempt that was given up long ago.
        if attempt % 2 == 0 { gateway.die(W, 7, 1) } else { gateway.die(W, 0, 99) }
    }
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), [(W, 0, 10)]);
}

#[test]
fn attempts_are_counted_from_where_the_client_says() {
    let mut gateway = Gateway::ordered();
    gateway.dispatcher.submit(task(S, 0), 65, PRIORITY_DEFAULT, "payload").unwrap();
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), [(W, 0, 65)]);
    gateway.lose(W);
    gateway.attach(W, 1);
    assert_eq!(gateway.send(), [(W, 0, 66)]);
}

#[test]
fn no_first_attempt_is_so_large_that_none_can_follow() {
    let mut gateway = Gateway::ordered();
    gateway.dispatcher.submit(task(S, 0), u32::MAX, PRIORITY_DEFAULT, "payload").unwrap();
    let mut before = 0;
    for _ in 0..3 {
        gateway.attach(W, 1);
        let attempt = gateway.send()[0].2;
        assert!(attempt > before);
        before = attempt;
        gateway.die(W, 0, attempt);
    }
    assert_eq!(gateway.delivered(), [0]);
}

#[test]
fn a_task_is_taken_in_once() {
    for ordered in [true, false] {
        let mut gateway = if ordered { Gateway::ordered() } else { Gateway::unordered() };
        gateway.attach(W, 9);
        gateway.submit(0).unwrap();
        gateway.submit(1).unwrap();
        assert_eq!(gateway.submit(1), Err(Refused::Duplicate), "it waits");
        gateway.send();
        assert_eq!(gateway.submit(1), Err(Refused::Duplicate), "it runs");
        gateway.answer(W, 1, 1);
        assert_eq!(gateway.submit(1), Err(Refused::Duplicate), "it has ended");
        gateway.answer(W, 0, 1);
        assert_eq!(gateway.delivered().len(), 2);
        assert_eq!(gateway.submit(1), Err(Refused::Duplicate), "it was delivered");
        assert_eq!(gateway.ledger().submitted, 2, "what was refused was not submitted");
    }
}

#[test]
fn a_stream_that_goes_on_from_another_gateway_begins_where_it_was() {
    for ordered in [true, false] {
        let mut gateway = Gateway::ordered();
        gateway.dispatcher.open_stream(T, ordered, Sequence(5)).unwrap();
        gateway.attach(W, 9);
        assert_eq!(gateway.dispatcher.submit(task(T, 4), 65, PRIORITY_DEFAULT, ""), Err(Refused::Duplicate));
        gateway.dispatcher.submit(task(T, 5), 65, PRIORITY_DEFAULT, "").unwrap();
        gateway.send();
        assert!(gateway.dispatcher.on_result(NOW, W, task(T, 5), 65, Ok(0)));
        assert_eq!(gateway.delivered(), [5]);
    }
}

#[test]
fn a_full_house_refuses_until_something_was_delivered() {
    let mut gateway = Gateway::unordered();
    gateway.attach(W, 99);
    (0..10).for_each(|sequence| gateway.submit(sequence).unwrap());
    assert_eq!(gateway.submit(10), Err(Refused::Full));
    gateway.send();
    gateway.answer(W, 4, 1);
    assert_eq!(gateway.submit(10), Err(Refused::Full), "what is not delivered is still in house");
    gateway.delivered();
    gateway.submit(10).unwrap();
    assert_eq!(gateway.submit(11), Err(Refused::Full));
    assert_eq!(gateway.ledger().submitted, 11);
}

/// Its turn was refused once, for others filled the house; then later ones of its own stream did, and wait for it.
#[test]
fn the_one_that_all_wait_for_is_let_in() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 99);
    (1..11).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    (1..11).for_each(|sequence| assert!(gateway.answer(W, sequence, 1)));
    assert_eq!(gateway.delivered(), []);
    assert_eq!(gateway.submit(11), Err(Refused::Full));
    gateway.submit(0).unwrap();
    gateway.send();
    gateway.answer(W, 0, 1);
    assert_eq!(gateway.submit(11), Err(Refused::Full), "what is ready must be taken out first");
    assert_eq!(gateway.delivered(), (0..11).collect::<Vec<_>>());
    gateway.submit(11).unwrap();
}

#[test]
fn streams_are_bounded_too() {
    let mut gateway = Gateway::ordered();
    assert_eq!(gateway.dispatcher.open_stream(S, true, Sequence(0)), Err(Refused::Duplicate));
    gateway.dispatcher.open_stream(T, true, Sequence(0)).unwrap();
    gateway.dispatcher.open_stream(StreamId(3), true, Sequence(0)).unwrap();
    assert_eq!(gateway.dispatcher.open_stream(StreamId(4), true, Sequence(0)), Err(Refused::Full));
    gateway.dispatcher.close_stream(T).unwrap();
    gateway.dispatcher.open_stream(StreamId(4), true, Sequence(0)).unwrap();
    assert_eq!(gateway.dispatcher.submit(task(T, 0), 1, PRIORITY_DEFAULT, ""), Err(Refused::NoStream));
}

#[test]
fn a_closed_stream_leaves_nothing_behind_but_the_credits_of_what_still_runs() {
    let mut gateway = Gateway::ordered();
    gateway.dispatcher.open_stream(T, true, Sequence(0)).unwrap();
    gateway.attach(W, 2);
    (0..4).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.dispatcher.submit(task(T, 0), 1, PRIORITY_DEFAULT, "").unwrap();
    gateway.send();
    gateway.answer(W, 1, 1);
    gateway.send();
    let account = gateway.dispatcher.close_stream(S).unwrap();
    assert_eq!(account, Ledger { submitted: 4, done: 1, dropped: 3, ..Ledger::default() });
    assert!(account.balances(0));
    gateway.sound();
    assert_eq!(gateway.delivered(), []);
    assert_eq!((gateway.dispatcher.close_stream(S), gateway.dispatcher.ledger(S)), (None, None));
    // The worker still runs two of the closed stream's tasks.
    assert_eq!(gateway.send(), []);
    assert!(!gateway.answer(W, 0, 1));
    assert_eq!(gateway.send(), [(W, 0, 1)], "the other stream's");
}

#[test]
fn clients_that_come_and_go_while_no_worker_is_there_pile_nothing_up() {
    let mut gateway = Gateway::ordered();
    for _ in 0..100 {
        (0..10).for_each(|sequence| gateway.submit(sequence).unwrap());
        gateway.dispatcher.close_stream(S).unwrap();
        gateway.dispatcher.open_stream(S, true, Sequence(0)).unwrap();
        gateway.sound();
    }
}

#[test]
fn deliveries_of_a_closed_stream_are_gone_and_those_of_others_stay() {
    let mut gateway = Gateway::ordered();
    gateway.dispatcher.open_stream(T, false, Sequence(0)).unwrap();
    gateway.attach(W, 9);
    (0..3).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.dispatcher.submit(task(T, 7), 1, PRIORITY_DEFAULT, "").unwrap();
    gateway.send();
    gateway.answer(W, 0, 1);
    gateway.answer(W, 2, 1);
    gateway.dispatcher.on_result(NOW, W, task(T, 7), 1, Ok(0));
    gateway.dispatcher.close_stream(S).unwrap();
    gateway.sound();
    assert_eq!(gateway.delivered(), [7]);
}

#[test]
fn when_the_session_ends_every_task_does() {
    let mut gateway = Gateway::ordered();
    gateway.attach(W, 2);
    (0..4).for_each(|sequence| gateway.submit(sequence).unwrap());
    gateway.send();
    gateway.answer(W, 1, 1);
    gateway.dispatcher.fail_all("it ended");
    gateway.sound();
    let outcomes: Vec<_> = gateway.deliveries().into_iter().map(|delivery| delivery.outcome).collect();
    let ended = || Outcome::Failed("it ended".into());
    assert_eq!(outcomes, [ended(), Outcome::Done(1), ended(), ended()]);
    assert_eq!(gateway.ledger(), Ledger { submitted: 4, done: 1, failed: 3, ..Ledger::default() });
    assert!(!gateway.answer(W, 0, 1));
    assert_eq!((gateway.send(), gateway.dispatcher.worker_count()), (vec![], 0));
}

#[test]
fn a_stream_may_end_at_the_last_number_there_is() {
    for ordered in [true, false] {
        let mut gateway = Gateway::ordered();
        gateway.dispatcher.open_stream(T, ordered, Sequence(u64::MAX)).unwrap();
        gateway.attach(W, 1);
        gateway.dispatcher.submit(task(T, u64::MAX), 1, PRIORITY_DEFAULT, "").unwrap();
        gateway.send();
        gateway.dispatcher.on_result(NOW, W, task(T, u64::MAX), 1, Ok(0));
        assert_eq!(gateway.delivered(), [u64::MAX]);
    }
}

#[test]
fn a_ledger_that_lost_a_task_does_not_balance() {
    let ledger = Ledger { submitted: 5, done: 2, failed: 1, dropped: 1, ..Ledger::default() };
    assert!(ledger.balances(1));
    assert!(!ledger.balances(0) && !ledger.balances(2));
}
