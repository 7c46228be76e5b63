//! Small meshes and what is planned for them, to be checked by eye: one situation for each rule.
//!
//! A line is a change; `--` separates one cycle from the next, in which what had to leave is gone.

use insta::assert_snapshot;
use skein_core::capability::{Device, DeviceKind, Heat, NodeSpec, Profile};
use skein_core::health::{Author, DeviceReport, Ending};
use skein_core::model::ModelRef;
use skein_core::plan::{Change, STARVES_AFTER};
use skein_core::policy::PolicyName;
use skein_core::session::{Hold, SessionSpec};
use skein_core::worker::{Duty, Why, WorkerReport};
use skein_core::{Command, Millis, NodeId, Resources, SessionId, WorkerId};

use crate::mesh::{A, B, C, Mesh, cores, device, node, session};

/// What one cycle after another changes, until there is nothing left to do.
fn story(mesh: &mut Mesh) -> String {
    let mut cycles = Vec::new();
    while cycles.len() < 10 {
        let names =
            |mesh: &Mesh, id: WorkerId| mesh.state.workers.get(&id).map_or(SessionId(0), |worker| worker.session);
        let sessions: Vec<(WorkerId, SessionId)> =
            mesh.state.workers.keys().map(|id| (*id, names(mesh, *id))).collect();
        let changes = mesh.changes();
        let lines: Vec<String> = changes.iter().map(|change| line(&sessions, change)).collect();
        let has_left = leave(mesh);
        if lines.is_empty() && !has_left {
            break;
        }
        if !lines.is_empty() {
            cycles.push(lines.join("\n"));
        }
    }
    cycles.join("\n--\n")
}

fn line(sessions: &[(WorkerId, SessionId)], change: &Change) -> String {
    let of = |id: &WorkerId| {
        let session = sessions.iter().find(|(known, _)| known == id).map_or(SessionId(0), |(_, session)| *session);
        format!("worker {id} of session {session}")
    };
    match change {
        Change::Stop(id) => format!("{} stops", of(id)),
        Change::Leave { worker, why: Why::Preempted { by } } => format!("{} is preempted by session {by}", of(worker)),
        Change::Leave { worker, why: Why::Reclaimed { by } } => format!("{} makes way for session {by}", of(worker)),
        Change::Leave { worker, why: Why::Drained } => format!("{} is drained", of(worker)),
        Change::Return(id) => format!("{} is given back", of(id)),
        Change::Revive(id) => format!("{} serves again", of(id)),
        Change::Resize { worker, need } => format!("{} has {}m cpu now", of(worker), need.cpu_millicores),
        Change::Start(place) => {
            format!("session {} starts on {} of node {}", place.session, place.device, place.node.0)
        }
    }
}

/// Those that have to leave are done; whether there were any.
fn leave(mesh: &mut Mesh) -> bool {
    let leaving = mesh.state.workers.iter().filter(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }));
    let leaving: Vec<(WorkerId, NodeId)> = leaving.map(|(id, worker)| (*id, worker.node)).collect();
    for (worker, node) in &leaving {
        mesh.apply(Command::WorkerReport { node: *node, worker: *worker, report: WorkerReport::Left });
    }
    !leaving.is_empty()
}

fn gpu(name: &str, gibibytes: u64) -> Device {
    let offers = Resources { gpu_milli: 1_000, gpu_memory_bytes: gibibytes << 30, ..Resources::default() };
    device(name, DeviceKind::Gpu, offers)
}

/// A node with GPUs beside its processor.
fn gpu_node(id: NodeId, gpus: &[Device]) -> NodeSpec {
    let mut spec = node(id, 8);
    spec.capability.targets.push("onnxruntime".into());
    spec.capability.devices.extend(gpus.iter().cloned());
    spec
}

fn on_gpu(fixed: u32, gpu_milli: u64, gibibytes: u64) -> SessionSpec {
    let need = Resources { gpu_milli, gpu_memory_bytes: gibibytes << 30, ..cores(1) };
    SessionSpec { target: "onnxruntime".into(), need, ..session(fixed) }
}

fn sharing(share: u32, fixed: u32) -> SessionSpec {
    SessionSpec { fixed, share, max: 20, ..session(1) }
}

fn preemptive(priority: u8, cpu: u64) -> SessionSpec {
    SessionSpec { policy: Some(PolicyName::Preemptive), priority, need: cores(cpu), ..session(1) }
}

fn low(cpu: u64) -> SessionSpec {
    SessionSpec { priority: 10, need: cores(cpu), ..session(1) }
}

fn wants(mesh: &mut Mesh, session: SessionId, workers: u32) {
    mesh.apply(Command::SessionWant { session, workers });
}

#[test]
fn fixed_workers_are_spread_over_nodes() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4), (C, 4)]);
    mesh.session(4);
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 1
    session 1 starts on cpu of node 2
    session 1 starts on cpu of node 3
    session 1 starts on cpu of node 1
    ");
}

#[test]
fn first_come_is_first_served_and_what_does_not_fit_holds_nobody_up() {
    let mut mesh = Mesh::of(&[(A, 3)]);
    mesh.open(SessionSpec { need: cores(2), ..session(2) });
    mesh.session(2);
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 1
    session 2 starts on cpu of node 1
    ");
}

#[test]
fn a_higher_priority_goes_first_where_the_mesh_says_so() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.apply(Command::PolicySet(PolicyName::Priority));
    mesh.open(low(1));
    mesh.open(SessionSpec { priority: 90, ..session(1) });
    assert_snapshot!(story(&mut mesh), @"session 2 starts on cpu of node 1");
}

#[test]
fn an_exclusive_session_has_the_smallest_device_that_will_do_and_shares_it_with_nobody() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8), gpu("gpu-1", 4)])));
    mesh.open(SessionSpec { policy: Some(PolicyName::Exclusive), ..on_gpu(1, 300, 2) });
    mesh.open(on_gpu(3, 300, 2));
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on gpu-1 of node 1
    session 2 starts on gpu-0 of node 1
    session 2 starts on gpu-0 of node 1
    session 2 starts on gpu-0 of node 1
    ");
}

#[test]
fn a_session_that_wants_a_node_to_itself_takes_an_empty_one_or_waits() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    mesh.session(1);
    mesh.open(SessionSpec { hold: Some(Hold::Node), ..session(1) });
    mesh.open(SessionSpec { hold: Some(Hold::Node), ..session(1) });
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 1
    session 2 starts on cpu of node 2
    ");
}

#[test]
fn what_is_closed_to_others_is_open_to_whom_it_belongs() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let mine = mesh.open(SessionSpec { hold: Some(Hold::Node), ..session(2) });
    mesh.place(mine, A, "cpu");
    // It was evicted once, so it is asked first; and it may not stand there.
    let other = mesh.session(1);
    mesh.state.sessions.get_mut(&other).unwrap().evicted = 1;
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 1");
}

#[test]
fn one_victim_is_better_than_two() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 2)]);
    mesh.open(low(1));
    mesh.open(low(1));
    mesh.open(low(2));
    mesh.plan();
    mesh.open(preemptive(90, 2));
    assert_snapshot!(story(&mut mesh), @"
    worker 3 of session 3 is preempted by session 4
    --
    session 4 starts on cpu of node 2
    ");
}

#[test]
fn the_victim_with_the_least_to_lose_goes() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    mesh.open(low(1));
    mesh.open(low(1));
    mesh.plan();
    let report = WorkerReport::AtStake(Millis(8_000));
    mesh.apply(Command::WorkerReport { node: B, worker: WorkerId(2), report });
    mesh.open(preemptive(90, 1));
    assert_snapshot!(story(&mut mesh), @"
    worker 1 of session 1 is preempted by session 3
    --
    session 3 starts on cpu of node 1
    ");
}

#[test]
fn a_session_that_may_evict_goes_before_those_it_may_evict_and_nobody_else() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.open(SessionSpec { priority: 90, ..session(1) });
    mesh.open(low(1));
    mesh.open(preemptive(0, 1));
    mesh.open(preemptive(40, 1));
    let first = story(&mut mesh);
    mesh.apply(Command::SessionEnd(SessionId(1)));
    assert_snapshot!(first + "\n== it ends\n" + &story(&mut mesh), @"
    session 1 starts on cpu of node 1
    == it ends
    session 4 starts on cpu of node 1
    ");
}

#[test]
fn a_right_to_evict_is_no_right_to_all_that_is_spare() {
    let mut mesh = Mesh::of(&[(A, 8)]);
    let three = mesh.open(sharing(3, 0));
    let one = mesh.open(SessionSpec { policy: Some(PolicyName::Preemptive), priority: 0, ..sharing(1, 0) });
    wants(&mut mesh, three, 9);
    wants(&mut mesh, one, 9);
    story(&mut mesh);
    assert_eq!((mesh.nodes_of(three).len(), mesh.nodes_of(one).len()), (6, 2));
}

#[test]
fn nobody_leaves_for_a_session_whose_workers_fail() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    mesh.open(SessionSpec { priority: 10, ..session(2) });
    mesh.plan();
    mesh.open(preemptive(90, 1));
    let first = story(&mut mesh);
    mesh.failed(mesh.state.last_worker, "it burns");
    let second = story(&mut mesh);
    mesh.wait(5_000);
    assert_snapshot!([first, second, story(&mut mesh)].join("\n==\n"), @"
    worker 2 of session 1 is preempted by session 2
    --
    session 2 starts on cpu of node 2
    ==
    session 1 starts on cpu of node 2
    ==
    worker 4 of session 1 is preempted by session 2
    --
    session 2 starts on cpu of node 2
    ");
}

#[test]
fn a_crowd_on_the_wrong_devices_does_not_hide_the_one_on_the_right_one() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(node(B, 2_000)));
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8)])));
    mesh.open(SessionSpec { priority: 20, ..on_gpu(1, 800, 8) });
    mesh.open(SessionSpec { priority: 10, ..session(2_007) });
    while !mesh.plan().is_empty() {}
    mesh.open(SessionSpec { policy: Some(PolicyName::Preemptive), priority: 90, ..on_gpu(1, 800, 8) });
    assert_snapshot!(story(&mut mesh), @"
    worker 1 of session 1 is preempted by session 3
    --
    session 3 starts on gpu-0 of node 1
    ");
}

#[test]
fn an_equal_priority_is_not_preempted() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.open(SessionSpec { priority: 90, ..session(1) });
    mesh.plan();
    mesh.open(preemptive(90, 1));
    assert_snapshot!(story(&mut mesh), @"");
}

#[test]
fn a_victim_comes_back_before_new_work_of_its_priority() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.open(low(1));
    mesh.plan();
    let high = mesh.open(preemptive(90, 1));
    let evicted = story(&mut mesh);
    mesh.apply(Command::PolicySet(PolicyName::Priority));
    mesh.open(low(1));
    mesh.apply(Command::SessionEnd(high));
    assert_snapshot!(evicted + "\n== it ends\n" + &story(&mut mesh), @"
    worker 1 of session 1 is preempted by session 2
    --
    session 2 starts on cpu of node 1
    == it ends
    session 1 starts on cpu of node 1
    ");
}

#[test]
fn a_bound_session_has_a_gpu_for_each_worker() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8), gpu("gpu-1", 8)])));
    mesh.open(SessionSpec { policy: Some(PolicyName::GpuBinding), ..on_gpu(3, 100, 1) });
    mesh.open(on_gpu(1, 100, 1));
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on gpu-0 of node 1
    session 1 starts on gpu-1 of node 1
    ");
}

#[test]
fn a_session_bound_to_a_device_stands_nowhere_else() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    mesh.open(SessionSpec { hold: Some(Hold::Named { node: B, device: "cpu".into() }), ..session(2) });
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 2
    session 1 starts on cpu of node 2
    ");
}

#[test]
fn a_named_thing_is_counted_like_any_other_need() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let mut with_camera = node(B, 4);
    with_camera.capability.offers.named.insert("camera".into(), 1);
    mesh.apply(Command::NodeJoin(with_camera));
    let mut need = cores(1);
    need.named.insert("camera".into(), 1);
    mesh.open(SessionSpec { need, ..session(2) });
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn what_is_no_longer_wanted_is_kept_warm_and_taken_up_again() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let id = mesh.open(sharing(1, 1));
    wants(&mut mesh, id, 2);
    let more = story(&mut mesh);
    wants(&mut mesh, id, 0);
    let less = story(&mut mesh);
    wants(&mut mesh, id, 2);
    assert_snapshot!([more, less, story(&mut mesh)].join("\n==\n"), @"
    session 1 starts on cpu of node 1
    session 1 starts on cpu of node 1
    ==
    worker 2 of session 1 is given back
    ==
    worker 2 of session 1 serves again
    ");
}

#[test]
fn workers_stay_spread_when_some_are_given_back_and_taken_up_again() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 1)]);
    let id = mesh.open(sharing(1, 1));
    wants(&mut mesh, id, 3);
    story(&mut mesh);
    wants(&mut mesh, id, 2);
    let less = story(&mut mesh);
    let report = WorkerReport::AtStake(Millis(4_000));
    let busy = mesh.state.workers_of(id).find(|(_, worker)| worker.node == A && worker.serves()).unwrap().0;
    mesh.apply(Command::WorkerReport { node: A, worker: busy, report });
    wants(&mut mesh, id, 1);
    assert_snapshot!([less, story(&mut mesh)].join("\n==\n"), @"
    worker 2 of session 1 is given back
    ==
    worker 3 of session 1 is given back
    ");
}

#[test]
fn what_is_only_kept_warm_goes_when_the_room_is_needed() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let id = mesh.open(sharing(1, 1));
    wants(&mut mesh, id, 2);
    mesh.plan();
    wants(&mut mesh, id, 0);
    mesh.plan();
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"
    worker 2 of session 1 stops
    session 2 starts on cpu of node 1
    ");
}

#[test]
fn what_is_lent_makes_way_for_fixed_workers_of_any_priority() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let id = mesh.open(SessionSpec { priority: 90, ..sharing(1, 1) });
    wants(&mut mesh, id, 9);
    mesh.plan();
    mesh.open(low(1));
    assert_snapshot!(story(&mut mesh), @"
    worker 2 of session 1 makes way for session 2
    --
    session 2 starts on cpu of node 1
    ");
}

#[test]
fn what_is_lent_to_a_high_priority_goes_before_what_is_promised_to_a_low_one() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let lent = mesh.open(SessionSpec { priority: 90, ..sharing(1, 0) });
    mesh.open(low(1));
    wants(&mut mesh, lent, 9);
    mesh.plan();
    mesh.open(preemptive(95, 1));
    assert_snapshot!(story(&mut mesh), @"
    worker 2 of session 1 makes way for session 3
    --
    session 3 starts on cpu of node 1
    ");
}

#[test]
fn a_newcomer_gets_its_share_from_those_who_have_more() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let first = mesh.open(sharing(1, 0));
    wants(&mut mesh, first, 9);
    mesh.plan();
    let second = mesh.open(sharing(1, 0));
    wants(&mut mesh, second, 9);
    assert_snapshot!(story(&mut mesh), @"
    worker 4 of session 1 makes way for session 2
    worker 3 of session 1 makes way for session 2
    --
    session 2 starts on cpu of node 1
    session 2 starts on cpu of node 1
    ");
}

#[test]
fn the_measured_speed_of_a_model_comes_first() {
    let mut mesh = Mesh::of(&[(A, 8)]);
    let mut quick = node(B, 1);
    quick.capability.devices[0].hardware = "quick".into();
    let (model, target, device) = (ModelRef { name: "cats".into(), version: 1 }, "tract".into(), "cpu".into());
    quick.capability.profiles = vec![Profile { model, target, device, run_micros: 5_000 }];
    mesh.apply(Command::NodeJoin(quick));
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_node_with_the_model_loaded_is_better_than_an_idle_one() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4), (C, 4)]);
    let first = mesh.session(1);
    mesh.place(first, B, "cpu");
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"session 2 starts on cpu of node 2");
}

#[test]
fn a_cool_device_is_better_than_a_hot_one() {
    let mut mesh = Mesh::of(&[(B, 1)]);
    let mut hot = node(A, 4);
    hot.capability.devices[0].heat = Heat::Hot;
    mesh.apply(Command::NodeJoin(hot));
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_blocked_node_is_left_at_once_and_not_used_again() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    mesh.session(2);
    mesh.plan();
    let (by, reason) = (Author::Operator, "it smells".into());
    mesh.apply(Command::Block { node: A, device: None, by, reason, ending: Ending::AtOnce });
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_drained_node_is_made_up_for_before_it_is_empty() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    mesh.session(2);
    mesh.plan();
    let (by, reason) = (Author::Operator, "new fan".into());
    mesh.apply(Command::Block { node: A, device: None, by, reason, ending: Ending::WhenDone });
    assert!(matches!(mesh.state.workers[&WorkerId(1)].duty, Duty::Leaving { why: Why::Drained, .. }));
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_device_in_quarantine_is_left_at_once() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    mesh.session(1);
    mesh.plan();
    let report = DeviceReport::Faults { times: 3, reason: "the answer is wrong".into() };
    mesh.apply(Command::DeviceReport { node: A, device: "cpu".into(), report });
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_node_that_offers_less_keeps_what_fits() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let (high, low) = (mesh.open(SessionSpec { priority: 90, ..session(1) }), mesh.open(low(1)));
    mesh.plan();
    mesh.apply(Command::NodeJoin(node(A, 1)));
    assert_eq!((mesh.nodes_of(high), mesh.nodes_of(low)), (vec![A], vec![]));
    mesh.apply(Command::NodeJoin(node(B, 1)));
    assert_snapshot!(story(&mut mesh), @"session 2 starts on cpu of node 2");
}

#[test]
fn a_node_that_offers_less_of_one_thing_loses_only_who_uses_it() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8)])));
    mesh.apply(Command::SessionCreate(on_gpu(2, 400, 2)));
    let (gpus, low) = (mesh.state.last_session, mesh.open(low(1)));
    mesh.plan();
    let report = WorkerReport::AtStake(Millis(8_000));
    mesh.apply(Command::WorkerReport { node: A, worker: WorkerId(2), report });
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 2)])));
    let left: Vec<WorkerId> = mesh.state.workers_of(gpus).map(|(id, _)| id).collect();
    assert_eq!((left, mesh.nodes_of(low)), (vec![WorkerId(2)], vec![A]), "the one with less at stake went");
}

#[test]
fn a_reservation_follows_the_measured_use() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let id = mesh.open(SessionSpec { need_max: Some(cores(3)), ..session(1) });
    mesh.plan();
    mesh.apply(Command::SessionReserve { session: id, reserved: cores(9) });
    let more = story(&mut mesh);
    mesh.apply(Command::SessionReserve { session: id, reserved: cores(2) });
    assert_snapshot!(more + "\n==\n" + &story(&mut mesh), @"
    worker 1 of session 1 has 3000m cpu now
    ==
    worker 1 of session 1 has 2000m cpu now
    ");
}

#[test]
fn nobody_grows_into_room_that_others_left_for_somebody_else() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let growing = mesh.open(SessionSpec { need_max: Some(cores(3)), priority: 90, ..session(1) });
    mesh.open(low(1));
    mesh.open(low(1));
    mesh.open(low(1));
    mesh.plan();
    mesh.open(preemptive(95, 2));
    mesh.plan();
    let left = WorkerReport::Left;
    mesh.apply(Command::WorkerReport { node: A, worker: WorkerId(4), report: left });
    mesh.apply(Command::SessionReserve { session: growing, reserved: cores(2) });
    assert_snapshot!(story(&mut mesh), @"session 5 starts on cpu of node 1");
}

#[test]
fn a_session_that_waited_long_has_a_node_kept_free() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    mesh.session(1);
    mesh.plan();
    mesh.open(SessionSpec { need: cores(2), ..session(1) });
    mesh.plan();
    mesh.wait(STARVES_AFTER.0);
    mesh.session(1);
    let waits = story(&mut mesh);
    mesh.apply(Command::SessionEnd(SessionId(1)));
    assert_snapshot!(waits + "== the first ends\n" + &story(&mut mesh), @"
    == the first ends
    session 2 starts on cpu of node 1
    ");
}

#[test]
fn no_node_is_kept_free_for_what_it_would_not_bring() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    mesh.open(SessionSpec { need: cores(3), ..session(2) });
    mesh.open(SessionSpec { hold: Some(Hold::Named { node: A, device: "cpu".into() }), need: cores(99), ..session(1) });
    mesh.plan();
    mesh.wait(STARVES_AFTER.0);
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"session 3 starts on cpu of node 1");
}

#[test]
fn a_small_mesh_is_not_closed_by_those_who_wait() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 2), (C, 2)]);
    mesh.session(3);
    mesh.plan();
    for _ in 0..3 {
        mesh.open(SessionSpec { need: cores(2), ..session(1) });
    }
    mesh.plan();
    mesh.wait(STARVES_AFTER.0);
    mesh.session(2);
    assert_snapshot!(story(&mut mesh), @"
    session 5 starts on cpu of node 2
    session 5 starts on cpu of node 3
    ");
}

#[test]
fn what_the_empty_mesh_could_not_hold_is_refused_with_the_reason() {
    let mut mesh = Mesh::of(&[(B, 2)]);
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8), gpu("gpu-1", 8)])));
    let named = Some(Hold::Named { node: B, device: "cpu".into() });
    let asked = [
        on_gpu(1, 500, 12),
        on_gpu(5, 500, 2),
        SessionSpec { policy: Some(PolicyName::GpuBinding), ..on_gpu(3, 100, 1) },
        SessionSpec { policy: Some(PolicyName::GpuBinding), ..session(1) },
        SessionSpec { hold: named, ..session(3) },
        session(11),
    ];
    let why = |spec: &SessionSpec| {
        let mut trial = Mesh { state: mesh.state.clone(), now: mesh.now };
        trial.refusal(Command::SessionCreate(SessionSpec { refuse_unfit: true, ..spec.clone() })).to_string()
    };
    assert_snapshot!(asked.iter().map(why).collect::<Vec<_>>().join("\n"), @"
    the mesh could not hold the workers of this session: it needs 12 GiB GPU memory; the largest device has 8 GiB GPU memory
    the mesh could not hold the workers of this session: it asks for 5 fixed workers; all nodes together could hold 4
    the mesh could not hold the workers of this session: it asks for 3 fixed workers; all nodes together could hold 2
    the mesh could not hold the workers of this session: its policy keeps it off every device it could run on: it is no GPU or stick
    the mesh could not hold the workers of this session: it asks for 3 fixed workers; all nodes together could hold 2
    the mesh could not hold the workers of this session: it asks for 11 fixed workers; all nodes together could hold 10
    ");
    for fits in [on_gpu(4, 500, 2), session(10)] {
        mesh.open(SessionSpec { refuse_unfit: true, ..fits });
    }
}
