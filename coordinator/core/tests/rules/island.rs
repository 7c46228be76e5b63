//! What a node does that has lost the mesh.

use std::collections::BTreeSet;

use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Dispatcher, Limits, Loss, TaskId};
use skein_core::island::{CHARGE_STEP, CUT_AFTER_MIN, Island, IslandAccount, IslandReport, REPORT_SESSIONS_MAX};
use skein_core::session::{OFFLINE_MAX, OFFLINE_UNLIMITED, SessionSpec};
use skein_core::supervise::{Action, Supervisor, WorkerEvent};
use skein_core::{Command, Event, Millis, Sequence, SessionId, StreamId, WorkerId};

use crate::mesh::{A, B, Mesh, session};

const DOWN_AFTER_MAX: Millis = Millis(3_000);

/// Two sessions with a worker each on one node: one that goes on for 10 s, and one that does not.
fn mesh() -> (Mesh, SessionId, SessionId) {
    let mut mesh = Mesh::of(&[(A, 4)]);
    for offline in [10_000, 0] {
        mesh.apply(Command::SessionCreate(SessionSpec { offline: Millis(offline), ..session(1) }));
    }
    mesh.plan();
    (mesh, SessionId(1), SessionId(2))
}

#[test]
fn an_island_goes_on_for_as_long_as_each_session_allows() {
    let (mesh, long, short) = mesh();
    let mut island = Island::new(Millis(0), DOWN_AFTER_MAX, Millis(0));
    island.on_contact(Millis(1_000));
    assert!(!island.is_cut(Millis(5_999)) && island.stopped(Millis(5_999), &mesh.state).is_empty());
    assert!(island.is_cut(Millis(6_000)));
    assert_eq!(island.stopped(Millis(6_000), &mesh.state), BTreeSet::from([short]));
    assert_eq!(island.left(Millis(6_000), Millis(10_000)), Some(Millis(5_000)));
    assert_eq!(island.stopped(Millis(10_999), &mesh.state), BTreeSet::from([short]));
    assert_eq!(island.stopped(Millis(11_000), &mesh.state), BTreeSet::from([long, short]));
    assert_eq!(island.left(Millis(u64::MAX), OFFLINE_UNLIMITED), None);
    assert!(island.goes_on(Millis(u64::MAX - 1), OFFLINE_UNLIMITED));

    assert!(island.on_contact(Millis(20_000)), "the mesh is back");
    assert!(!island.on_contact(Millis(20_500)), "and that is no news");
    assert!(island.stopped(Millis(20_500), &mesh.state).is_empty());
}

#[test]
fn a_mesh_that_gives_its_nodes_more_time_makes_islands_later() {
    let island = Island::new(Millis(0), Millis(9_000), Millis(0));
    assert!(!island.is_cut(Millis(8_999)) && island.is_cut(Millis(9_000)));
    let island = Island::new(Millis(0), Millis(500), Millis(0));
    assert!(!island.is_cut(Millis(CUT_AFTER_MIN.0 - 1)) && island.is_cut(CUT_AFTER_MIN));
}

#[test]
fn a_reboot_gives_no_time_back() {
    let (mesh, long, short) = mesh();
    let mut island = Island::new(Millis(0), DOWN_AFTER_MAX, Millis(0));
    assert_eq!(island.to_charge(Millis(2_000)), None, "it is no island yet");
    assert_eq!(island.to_charge(Millis(5_000)), Some(Millis(5_000 + CHARGE_STEP.0)));
    assert_eq!(island.to_charge(Millis(9_000)), None, "that is paid for already");
    // It dies, and starts without a network. Its clock may say anything.
    let mut island = Island::new(Millis(0), DOWN_AFTER_MAX, Millis(8_000));
    assert!(island.is_cut(Millis(0)), "it was an island");
    assert_eq!(island.stopped(Millis(0), &mesh.state), BTreeSet::from([short]));
    assert_eq!(island.to_charge(Millis(0)), Some(Millis(13_000)));
    assert_eq!(island.stopped(Millis(2_000), &mesh.state), BTreeSet::from([long, short]));
    // One that died with the mesh around has nothing to carry, and a moment to find it.
    let island = Island::new(Millis(0), DOWN_AFTER_MAX, Millis(0));
    assert!(!island.is_cut(Millis(0)) && island.stopped(Millis(2_999), &mesh.state).is_empty());
}

/// A node that dies and starts at random moments, some of them within milliseconds.
#[test]
fn however_often_it_restarts_it_spends_its_time_once() {
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut next = |most: u64| {
            // One step of a xorshift generator (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % most
        };
        let (offline, mut disk, mut served) = (Millis(60_000), Millis(0), 0);
        for _ in 0..1_000 {
            let mut island = Island::new(Millis(0), DOWN_AFTER_MAX, disk);
            let life = next(20_000);
            for now in (0..life).step_by(250) {
                disk = island.to_charge(Millis(now)).unwrap_or(disk);
                // What it serves before it can know that it is cut off is not taken from its time.
                served += if island.is_cut(Millis(now)) && island.goes_on(Millis(now), offline) { 250 } else { 0 };
            }
        }
        assert!(served <= offline.0, "seed {seed}: served for {served} ms");
        assert!(served > 0, "seed {seed}: it did not go on at all");
    }
}

#[test]
fn workers_of_a_session_that_stops_end_and_start_again_when_the_mesh_is_back() {
    let (mesh, _, short) = mesh();
    let worker = mesh.state.workers_of(short).next().expect("it is planned").0;
    let mut supervisor = Supervisor::new(A);
    let actions = |supervisor: &mut Supervisor| {
        let next = std::iter::from_fn(|| supervisor.next_action(Millis(0)));
        next.filter(|action| !matches!(action, Action::Report(..))).collect::<Vec<_>>()
    };
    supervisor.on_state(Millis(0), &mesh.state);
    assert_eq!(actions(&mut supervisor).len(), 2, "both start");
    supervisor.on_worker(Millis(0), worker, WorkerEvent::Ready);
    supervisor.stop_sessions(BTreeSet::from([short]));
    supervisor.on_state(Millis(0), &mesh.state);
    assert_eq!(actions(&mut supervisor), [Action::Stop(worker)]);
    supervisor.on_worker(Millis(0), worker, WorkerEvent::Exited { reason: "it was stopped".into() });
    assert_eq!(actions(&mut supervisor), []);
    supervisor.stop_sessions(BTreeSet::new());
    supervisor.on_state(Millis(0), &mesh.state);
    assert_eq!(actions(&mut supervisor), [Action::Start(worker)]);
}

#[test]
fn an_offline_time_is_a_year_at_most_or_has_no_end() {
    let asked = |offline| SessionSpec { offline, ..session(1) }.check();
    assert!([Millis(0), OFFLINE_MAX, OFFLINE_UNLIMITED].into_iter().all(|offline| asked(offline).is_ok()));
    assert!(asked(Millis(OFFLINE_MAX.0 + 1)).is_err_and(|why| why.contains("offline")));
}

#[test]
fn what_an_island_did_is_entered_once() {
    let (mut mesh, long, short) = mesh();
    let account = IslandAccount { done: 5, failed: 1, repeated: 2, ..IslandAccount::default() };
    let report = |node, number, sessions| Command::IslandReport(IslandReport { node, number, sessions });
    let events = mesh.apply(report(A, 1, vec![(long, account), (SessionId(99), account)]));
    assert_eq!(events, [Event::IslandReported { node: A, session: long, account }]);
    assert_eq!(mesh.apply(report(A, 1, vec![(long, account)])), [], "its answer got lost, and it is sent again");
    mesh.apply(report(A, 2, vec![(long, account), (short, account)]));
    assert_eq!(mesh.state.sessions[&long].islands, account.plus(account));
    assert_eq!(mesh.state.sessions[&short].islands, account);
    assert!(mesh.refusal(report(B, 1, vec![])).to_string().contains("no node"));
    let many = vec![(long, account); REPORT_SESSIONS_MAX + 1];
    assert!(mesh.refusal(report(A, 3, many)).to_string().contains("257 sessions"));
}

#[test]
fn what_is_heard_too_late_of_an_attempt_that_was_given_up_is_counted_and_changes_nothing() {
    let limits = Limits { tasks_max: 10, streams_max: 1, losses_max: 3 };
    let mut gateway: Dispatcher<(), (), ()> = Dispatcher::new(limits, Retry::default());
    let (stream, worker) = (StreamId(1), WorkerId(1));
    let task = TaskId { stream, sequence: Sequence(0) };
    gateway.open_stream(stream, true, Sequence(0)).unwrap();
    gateway.on_worker(worker, A, 1);
    gateway.submit(task, 1, 50, ()).unwrap();
    let sent = gateway.next_send(Millis(0)).expect("the worker is free");
    assert_eq!(gateway.held_by(worker).collect::<Vec<_>>(), [(task, sent.attempt)]);
    gateway.on_lost(Millis(1), worker, Loss::Gone);
    assert_eq!(gateway.held_by(worker).count(), 0);
    assert!(gateway.on_late(task));
    assert_eq!((gateway.ledger(stream).map(|ledger| ledger.fenced), gateway.pending(stream)), (Some(1), 1));
    gateway.close_stream(stream);
    assert!(!gateway.on_late(task), "nobody is there to be told");
}
