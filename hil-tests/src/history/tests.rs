//! The checker accepts what may be and catches what may not: each test plants one violation.

use super::*;

/// An operation from one moment to another.
fn op(call: Call, told: Told, asked: u64, answered: u64) -> Operation {
    Operation { call, told, asked: Duration::from_millis(asked), answered: Duration::from_millis(answered) }
}

fn create(session: u64, asked: u64, answered: u64) -> Operation {
    op(Call::Create, Told::Created(session), asked, answered)
}

fn policy(name: &str, asked: u64, answered: u64) -> Operation {
    op(Call::SetPolicy(name.into()), Told::Done, asked, answered)
}

fn read(open: &[u64], policy: &str, asked: u64) -> Operation {
    let state = State { last: 0, open: open.iter().copied().collect(), policy: policy.into() };
    op(Call::Read, Told::Holds(state), asked, asked + 1)
}

fn is_well(history: &[Operation]) -> bool {
    check(&State { policy: "fcfs".into(), ..State::default() }, history).is_ok()
}

#[test]
fn a_plain_history_is_well() {
    let end = op(Call::End(1), Told::Done, 30, 40);
    assert!(is_well(&[
        create(1, 0, 10),
        create(2, 11, 20),
        end,
        policy("priority", 41, 50),
        read(&[2], "priority", 60)
    ]));
    assert!(is_well(&[]));
}

#[test]
fn what_overlaps_may_be_in_either_order() {
    assert!(is_well(&[create(2, 0, 10), create(1, 5, 30), read(&[1, 2], "fcfs", 40)]));
    let race = [policy("priority", 0, 10), policy("exclusive", 0, 10)];
    for last in ["priority", "exclusive"] {
        assert!(is_well(&[&race[..], &[read(&[], last, 20)]].concat()));
    }
}

#[test]
fn what_has_no_answer_may_have_happened_or_not_or_late() {
    let unknown = op(Call::Create, Told::Unknown, 0, 10);
    let after = |read: Operation| is_well(&[unknown.clone(), create(1, 11, 20), read]);
    assert!(after(read(&[1], "fcfs", 30)));
    // It took effect after a later one was answered.
    assert!(after(read(&[1, 2], "fcfs", 30)));
    assert!(is_well(&[unknown.clone(), create(2, 11, 20), read(&[1, 2], "fcfs", 30)]));
    let ended = op(Call::End(1), Told::Unknown, 11, 20);
    for open in [&[1][..], &[]] {
        assert!(is_well(&[create(1, 0, 10), ended.clone(), read(open, "fcfs", 30)]));
    }
}

#[test]
fn a_lost_acknowledged_write_is_caught() {
    assert!(!is_well(&[create(1, 0, 10), create(2, 11, 20), read(&[1], "fcfs", 30)]));
    assert!(!is_well(&[policy("priority", 0, 10), read(&[], "fcfs", 30)]));
    // Lost, and its number given to another.
    assert!(!is_well(&[create(1, 0, 10), create(1, 11, 20), read(&[1], "fcfs", 30)]));
}

#[test]
fn a_session_that_was_made_twice_is_caught() {
    assert!(!is_well(&[create(1, 0, 10), read(&[1, 2], "fcfs", 30)]));
    assert!(!is_well(&[create(1, 0, 10), create(3, 11, 20), read(&[1, 2, 3], "fcfs", 30)]));
    let unknown = op(Call::Create, Told::Unknown, 0, 10);
    assert!(!is_well(&[unknown, read(&[1, 2], "fcfs", 30)]));
}

#[test]
fn an_order_against_time_is_caught() {
    assert!(!is_well(&[create(2, 0, 10), create(1, 11, 20), read(&[1, 2], "fcfs", 30)]));
    assert!(!is_well(&[policy("priority", 0, 10), policy("exclusive", 11, 20), read(&[], "priority", 30)]));
}

#[test]
fn a_session_that_comes_back_is_caught() {
    let end = op(Call::End(1), Told::Done, 11, 20);
    assert!(!is_well(&[create(1, 0, 10), end.clone(), read(&[1], "fcfs", 30)]));
    // An end that was told of before it was asked for cannot be, nor one of what was never there.
    assert!(!is_well(&[op(Call::End(7), Told::Done, 0, 10)]));
    // What is told to be gone is gone.
    let gone = op(Call::End(1), Told::Gone, 11, 20);
    assert!(!is_well(&[create(1, 0, 10), gone, read(&[1], "fcfs", 30)]));
}

#[test]
fn an_error_says_where_it_went_wrong() {
    let history = [create(1, 0, 10), create(2, 11, 20), read(&[1], "fcfs", 30)];
    let error = check(&State { policy: "fcfs".into(), ..State::default() }, &history).unwrap_err();
    assert!(error.contains("at most 2") && error.contains("Read"), "{error}");
}

#[test]
fn long_histories_of_many_clients_with_open_ends_are_checked_quickly() {
    let mut history = Vec::new();
    for round in 0..100 {
        let from = round * 100;
        history.extend((0..4).map(|client| create(round * 4 + 4 - client, from, from + 90)));
    }
    history.extend((0..8).map(|at| op(Call::SetPolicy("priority".into()), Told::Unknown, at * 1000, at * 1000 + 1)));
    let all: Vec<u64> = (1..=400).collect();
    assert!(is_well(&[&history[..], &[read(&all, "priority", 20_000)]].concat()));
    assert!(is_well(&[&history[..], &[read(&all, "fcfs", 20_000)]].concat()));
}
