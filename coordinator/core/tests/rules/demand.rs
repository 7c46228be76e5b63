//! How many workers sessions could keep busy, by the leader's account.

use skein_core::demand::{Demand, Pending};
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerReport;
use skein_core::{Command, Millis, SessionId, WorkerId};

use crate::mesh::{A, B, Mesh, session};

/// A leader of two nodes, both gateways, and a session that may have up to ten workers.
struct Leader {
    mesh: Mesh,
    demand: Demand,
    session: SessionId,
    now: Millis,
}

impl Leader {
    fn with(spec: SessionSpec) -> Self {
        let mut mesh = Mesh::of(&[(A, 16), (B, 16)]);
        let session = mesh.open(spec);
        Self { mesh, demand: Demand::default(), session, now: Millis(5_000) }
    }

    fn new() -> Self {
        Self::with(sharing(0))
    }

    fn hear(&mut self, gateway: skein_core::NodeId, waiting: u64, running: u64) {
        self.demand.observe(self.now, gateway, self.session, Pending { waiting, running });
    }

    /// Some time in which gateway A says this four times a second; what was committed.
    fn while_pending(&mut self, ms: u64, tasks: u64) -> Vec<u32> {
        let mut wants = Vec::new();
        for step in 0..ms / 50 {
            if step % 5 == 0 {
                self.hear(A, tasks, 0);
            }
            wants.extend(self.look());
            self.now.0 += 50;
        }
        wants
    }

    /// What the leader commits now.
    fn look(&mut self) -> Option<u32> {
        let command = self.demand.next_command(self.now, &self.mesh.state)?;
        let Command::SessionWant { session, workers } = command else { panic!("{command:?}") };
        assert_eq!(session, self.session);
        self.mesh.apply(Command::SessionWant { session, workers });
        Some(workers)
    }
}

fn sharing(fixed: u32) -> SessionSpec {
    SessionSpec { share: 1, max: 10, ..session(fixed) }
}

#[test]
fn pending_tasks_of_all_gateways_ask_for_workers_after_a_short_while() {
    let mut leader = Leader::new();
    leader.hear(A, 3, 1);
    leader.hear(B, 0, 3);
    assert_eq!(leader.look(), None, "a burst is over before a worker is there");
    assert_eq!(leader.demand.wake_at(), Some(Millis(5_300)));
    leader.now = Millis(5_299);
    assert_eq!(leader.look(), None);
    leader.now = Millis(5_300);
    assert_eq!(leader.look(), Some(4), "seven tasks, two a worker");
    assert_eq!(leader.look(), None, "it is said once");
}

#[test]
fn it_grows_by_what_was_pending_all_the_while_and_never_above_the_most() {
    let mut leader = Leader::new();
    leader.hear(A, 4, 0);
    leader.look();
    leader.now.0 += 200;
    leader.hear(A, 1_000, 0);
    leader.look();
    leader.now.0 += 100;
    assert_eq!(leader.look(), Some(2), "the thousand may be gone in a moment");
    assert_eq!(leader.while_pending(1_000, u64::MAX), [10], "the most it may have");
}

#[test]
fn a_burst_between_two_pauses_changes_nothing() {
    let mut leader = Leader::new();
    for _ in 0..20 {
        assert_eq!(leader.while_pending(250, 40), []);
        assert_eq!(leader.while_pending(250, 0), []);
    }
}

#[test]
fn it_gives_back_what_was_not_needed_for_long_and_no_more() {
    let mut leader = Leader::new();
    assert_eq!(leader.while_pending(1_000, 20), [10]);
    assert_eq!(leader.while_pending(5_000, 2), []);
    assert_eq!(leader.while_pending(250, 8), [], "for a moment four were needed");
    assert_eq!(leader.while_pending(4_000, 2), []);
    assert_eq!(leader.while_pending(2_000, 2), [4]);
    assert_eq!(leader.while_pending(15_000, 2), [1]);
    assert_eq!(leader.while_pending(15_000, 0), [0]);
    assert_eq!(leader.while_pending(60_000, 0), []);
}

#[test]
fn a_load_that_comes_and_goes_does_not_flap() {
    let mut leader = Leader::new();
    assert_eq!(leader.while_pending(1_000, 20), [10]);
    for _ in 0..20 {
        assert_eq!(leader.while_pending(9_000, 0), []);
        assert_eq!(leader.while_pending(1_000, 20), []);
    }
}

#[test]
fn what_the_fixed_workers_can_do_is_no_news() {
    let mut leader = Leader::with(sharing(3));
    assert_eq!(leader.while_pending(2_000, 6), [], "three are there anyway");
    assert_eq!(leader.while_pending(2_000, 7), [4]);
    assert_eq!(leader.while_pending(12_000, 0), [3]);
    assert_eq!(leader.while_pending(60_000, 0), []);
}

#[test]
fn a_session_without_a_share_gets_no_more_whatever_is_pending() {
    let mut leader = Leader::with(session(1));
    assert_eq!(leader.while_pending(5_000, 1_000), []);
}

#[test]
fn a_silent_gateway_counts_for_nothing() {
    let mut leader = Leader::new();
    leader.hear(B, 12, 0);
    assert_eq!(leader.while_pending(1_000, 4), [8]);
    // B fell silent at the beginning; three seconds later only A's tasks count, and ten more later that has an effect.
    assert_eq!(leader.while_pending(11_900, 4), []);
    assert_eq!(leader.while_pending(500, 4), [2]);
}

#[test]
fn the_account_wakes_when_a_gateway_has_been_silent_for_too_long() {
    let mut leader = Leader::new();
    assert_eq!(leader.while_pending(1_000, 4), [2]);
    let mut wants = Vec::new();
    for _ in 0..10 {
        let Some(wake) = leader.demand.wake_at() else { break };
        assert!(wake > leader.now || wants.is_empty(), "it spins at {wake}");
        leader.now = wake;
        wants.extend(leader.look());
    }
    assert_eq!((wants, leader.demand.wake_at()), (vec![0], None));
}

#[test]
fn a_gateway_that_is_down_counts_for_nothing_at_once() {
    let mut leader = Leader::new();
    leader.hear(B, 12, 0);
    leader.look();
    leader.mesh.apply(Command::NodeDown(B));
    leader.now.0 += 300;
    assert_eq!(leader.look(), None);
    assert_eq!(leader.demand.wake_at(), None);
}

#[test]
fn a_session_that_ended_is_forgotten() {
    let mut leader = Leader::new();
    leader.hear(A, 12, 0);
    leader.look();
    leader.mesh.apply(Command::SessionEnd(leader.session));
    leader.now.0 += 300;
    assert_eq!(leader.look(), None);
    assert_eq!(leader.demand.wake_at(), None);
}

#[test]
fn a_new_leader_takes_nothing_away_before_the_gateways_had_time_to_speak() {
    let mut leader = Leader::new();
    assert_eq!(leader.while_pending(1_000, 20), [10]);
    leader.demand = Demand::default();
    // The gateway takes two seconds to find the new leader.
    for _ in 0..40 {
        assert_eq!(leader.look(), None);
        leader.now.0 += 50;
    }
    assert_eq!(leader.while_pending(60_000, 20), []);
    // One that nobody speaks to gives back after the usual time.
    leader.demand = Demand::default();
    assert_eq!(leader.look(), None);
    leader.now.0 += 9_999;
    assert_eq!(leader.look(), None);
    leader.now.0 += 1;
    assert_eq!(leader.look(), Some(0));
}

#[test]
fn workers_with_a_long_task_in_hand_are_not_one_too_many() {
    let mut leader = Leader::new();
    leader.mesh.apply(Command::SessionWant { session: leader.session, workers: 4 });
    leader.mesh.plan();
    let report = WorkerReport::AtStake(Millis(8_000));
    leader.mesh.apply(Command::WorkerReport { node: A, worker: WorkerId(1), report });
    for _ in 0..60 {
        leader.hear(A, 0, 4);
        assert_eq!(leader.look(), None);
        leader.now.0 += 250;
    }
    for _ in 0..4 {
        leader.hear(A, 2, 4);
        leader.now.0 += 100;
        if let Some(more) = leader.look() {
            return assert_eq!(more, 6, "what waits for a long task waits long");
        }
    }
    panic!("two tasks wait, and nobody asks for a worker");
}
