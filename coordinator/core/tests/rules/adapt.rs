//! What workers are given, by what they use.

use skein_core::adapt::{Adapt, Usage};
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerReport;
use skein_core::{Command, Millis, Resources, SessionId, WorkerId};

use crate::mesh::{A, Mesh, session};

const GIB: u64 = 1 << 30;

/// A leader with one session of two workers, each of one core and one gibibyte, which may grow to four of each.
struct Leader {
    mesh: Mesh,
    adapt: Adapt,
    session: SessionId,
    now: Millis,
}

impl Leader {
    fn new() -> Self {
        let mut mesh = Mesh::of(&[(A, 16)]);
        let session = mesh.open(SessionSpec { need_max: Some(of(4_000, 4 * GIB)), ..session(2) });
        mesh.plan();
        Self { mesh, adapt: Adapt::default(), session, now: Millis(100_000) }
    }

    /// So many slots in which the first worker uses this and the second little; what was reserved, by turns.
    fn use_for(&mut self, slots: u64, cpu: u64, memory: u64) -> Vec<Resources> {
        let mut reserved = Vec::new();
        for _ in 0..slots {
            self.tell(1, cpu, memory);
            self.tell(2, 10, GIB / 100);
            reserved.extend(self.look());
            assert_eq!(self.look(), None, "it is said once");
            self.now.0 += 5_000;
        }
        reserved
    }

    fn tell(&mut self, worker: u64, cpu_millicores: u64, memory_bytes: u64) {
        let usage = Usage { cpu_millicores, memory_bytes, ..Usage::default() };
        self.adapt.observe(self.now, WorkerId(worker), usage);
    }

    fn look(&mut self) -> Option<Resources> {
        let command = self.adapt.next_command(self.now, &self.mesh.state)?;
        let Command::SessionReserve { session, reserved } = command else { panic!("{command:?}") };
        assert_eq!(session, self.session);
        self.mesh.apply(Command::SessionReserve { session, reserved: reserved.clone() });
        assert_eq!(self.reserved(), reserved, "it keeps to what the session allows by itself");
        Some(reserved)
    }

    fn reserved(&self) -> Resources {
        self.mesh.state.sessions[&self.session].reserved.clone()
    }
}

fn of(cpu_millicores: u64, memory_bytes: u64) -> Resources {
    Resources { cpu_millicores, memory_bytes, ..Resources::default() }
}

#[test]
fn a_reservation_rises_at_once_with_the_use_of_the_neediest_worker() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(1, 2_000, GIB / 2), [of(2_300, GIB)], "with head-room, and each dimension by itself");
    assert_eq!(leader.use_for(10, 2_050, GIB / 2), [], "less than a twentieth is not worth a change");
    assert_eq!(
        leader.use_for(2, 3_000, 2 * GIB),
        [of(3_450, 2 * GIB * 115 / 100)],
        "two slots running are no accident"
    );
}

#[test]
fn a_reservation_never_leaves_what_the_session_allows() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(1, u64::MAX, u64::MAX), [of(4_000, 4 * GIB)]);
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(200, 0, 0), []);
    assert_eq!(leader.reserved(), of(1_000, GIB));
}

#[test]
fn one_peak_in_a_long_calm_is_left_to_the_head_room() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(40, 800, GIB / 2), []);
    assert_eq!(leader.use_for(1, 3_000, GIB / 2), []);
    assert_eq!(leader.use_for(100, 800, GIB / 2), []);
    // But one that lasts is none.
    assert_eq!(leader.use_for(2, 3_000, GIB / 2), [of(3_450, GIB)]);
}

#[test]
fn a_reservation_falls_slowly_and_only_when_the_whole_window_needed_less() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(1, 2_000, GIB), [of(2_300, GIB * 115 / 100)]);
    // Five minutes: the window still holds the use that made it rise.
    assert_eq!(leader.use_for(59, 100, GIB), []);
    let fallen = leader.use_for(60, 100, GIB);
    let cpu: Vec<u64> = fallen.iter().map(|reserved| reserved.cpu_millicores).collect();
    assert_eq!(cpu, [2_070, 1_863, 1_676, 1_508, 1_357], "a tenth a minute");
    assert!(fallen.iter().all(|reserved| reserved.memory_bytes == GIB * 115 / 100), "memory is used as before");
    leader.use_for(100, 100, GIB);
    assert_eq!(leader.reserved(), of(1_000, GIB * 115 / 100), "down to the need");
}

#[test]
fn work_that_comes_every_few_minutes_keeps_its_reservation() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(1, 2_000, GIB / 2), [of(2_300, GIB)]);
    for _ in 0..10 {
        assert_eq!(leader.use_for(50, 10, GIB / 2), []);
        assert_eq!(leader.use_for(1, 2_000, GIB / 2), []);
    }
}

#[test]
fn what_an_out_of_memory_death_raised_does_not_fall_for_a_whole_window() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(70, 800, GIB / 2), []);
    leader.mesh.apply(Command::WorkerReport { node: A, worker: WorkerId(1), report: WorkerReport::OutOfMemory });
    assert_eq!(leader.reserved(), of(1_000, GIB * 3 / 2));
    leader.mesh.wait(60_000);
    leader.mesh.plan();
    for slot in 0..60 {
        leader.tell(2, 800, GIB / 2);
        assert_eq!(leader.look(), None, "slot {slot}");
        leader.now.0 += 5_000;
    }
    leader.tell(2, 800, GIB / 2);
    assert_eq!(leader.look().map(|reserved| reserved.memory_bytes), Some(GIB * 3 / 2 * 90 / 100));
}

#[test]
fn memory_is_raised_once_for_all_that_had_as_much_and_never_beyond_every_node() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let id = mesh.open(SessionSpec { need_max: Some(of(1_000, 4 * GIB)), ..session(2) });
    mesh.plan();
    let dies = |mesh: &mut Mesh, worker: WorkerId| {
        mesh.apply(Command::WorkerReport { node: A, worker, report: WorkerReport::OutOfMemory });
        let session = &mesh.state.sessions[&id];
        (session.reserved.memory_bytes * 4 / GIB, session.failures.len())
    };
    assert_eq!(dies(&mut mesh, WorkerId(1)), (6, 0));
    assert_eq!(dies(&mut mesh, WorkerId(2)), (6, 0), "it had no more than the first");
    mesh.plan();
    assert_eq!(dies(&mut mesh, WorkerId(3)), (8, 0), "half as much again would fit nowhere");
    mesh.plan();
    assert_eq!(dies(&mut mesh, WorkerId(4)), (8, 1), "there is no more to be had");
    mesh.apply(Command::SessionReserve { session: id, reserved: of(1_000, 3 * GIB) });
    assert_eq!(mesh.state.sessions[&id].reserved.memory_bytes, 2 * GIB);
}

#[test]
fn a_session_that_states_one_need_is_left_alone() {
    let mut leader = Leader::new();
    let other = leader.mesh.session(1);
    leader.mesh.plan();
    let worker = leader.mesh.state.workers_of(other).next().unwrap().0;
    leader.tell(worker.0, 9_000, 9 * GIB);
    assert_eq!(leader.look(), None);
}

#[test]
fn a_gpu_that_cannot_be_measured_stays_as_it_was_asked_for() {
    let mut leader = Leader::new();
    leader.mesh.state.sessions.get_mut(&leader.session).unwrap().spec.need_max =
        Some(Resources { gpu_memory_bytes: GIB, ..of(4_000, 4 * GIB) });
    let mut spec = leader.mesh.state.nodes[&A].spec.clone();
    spec.capability.devices[0].offers.gpu_memory_bytes = GIB;
    leader.mesh.apply(Command::NodeJoin(spec));
    assert_eq!(leader.use_for(1, 2_000, GIB / 2), [of(2_300, GIB)]);
    let usage = Usage { gpu_memory_bytes: Some(GIB / 2), ..Usage::default() };
    leader.adapt.observe(leader.now, WorkerId(1), usage);
    assert_eq!(leader.look().map(|reserved| reserved.gpu_memory_bytes), Some(GIB / 2 * 115 / 100));
}

#[test]
fn the_account_wakes_for_a_fall_and_for_nothing_else() {
    let mut leader = Leader::new();
    assert_eq!(leader.use_for(1, 2_000, GIB), [of(2_300, GIB * 115 / 100)]);
    assert_eq!(leader.adapt.wake_at(), None);
    leader.use_for(61, 100, GIB);
    let wake = leader.adapt.wake_at().expect("it falls on, in a minute");
    assert!(wake > leader.now, "{wake} is over at {}", leader.now);
    leader.mesh.apply(Command::SessionEnd(leader.session));
    assert_eq!(leader.look(), None);
    assert_eq!(leader.adapt.wake_at(), None);
}
