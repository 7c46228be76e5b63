//! What is lent and taken back, which place is best, and what becomes of room that is less or blocked.

use super::*;

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

/// A node of this hardware, on which the model was measured.
fn measured(id: NodeId, cores: u64, hardware: &str, ms: u64) -> NodeSpec {
    let mut spec = node(id, cores);
    spec.capability.devices[0].hardware = hardware.into();
    let (model, target, device) = (ModelRef { name: "cats".into(), version: 1 }, "tract".into(), "cpu".into());
    spec.capability.profiles = vec![Profile { model, target, device, run_micros: ms * 1_000 }];
    spec
}

#[test]
fn the_measured_speed_of_a_model_comes_first() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(measured(A, 8, "slow", 50)));
    mesh.apply(Command::NodeJoin(measured(B, 1, "quick", 5)));
    mesh.session(1);
    assert_snapshot!(story(&mut mesh), @"session 1 starts on cpu of node 2");
}

#[test]
fn a_device_is_as_fast_as_it_was_measured_itself_and_else_as_those_like_it() {
    let mut mesh = Mesh::of(&[(B, 4)]);
    mesh.apply(Command::NodeJoin(measured(A, 4, "board", 50)));
    mesh.apply(Command::NodeJoin(measured(C, 4, "board", 5)));
    mesh.session(3);
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 3
    session 1 starts on cpu of node 2
    session 1 starts on cpu of node 1
    ");
}

#[test]
fn what_was_never_measured_is_tried_as_if_it_were_as_fast_as_the_best_of_its_kind() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(measured(A, 8, "known", 50)));
    let mut unknown = node(B, 4);
    unknown.capability.devices[0].hardware = "unknown".into();
    mesh.apply(Command::NodeJoin(unknown));
    let other = mesh.session_of("dogs", 1);
    mesh.place(other, A, "cpu");
    mesh.session(1);
    let tried = story(&mut mesh);
    mesh.apply(Command::NodeJoin(measured(B, 4, "unknown", 80)));
    mesh.session(1);
    assert_snapshot!(tried + "\n== it is slow\n" + &story(&mut mesh), @"
    session 2 starts on cpu of node 2
    == it is slow
    session 3 starts on cpu of node 1
    ");
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
fn the_newest_word_on_a_drain_counts_be_it_longer_or_shorter() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.session(1);
    mesh.plan();
    let drain = |mesh: &mut Mesh, device: Option<&str>, ending: Ending| {
        let (by, reason, device) = (Author::Operator, "new fan".into(), device.map(String::from));
        mesh.apply(Command::Block { node: A, device, by, reason, ending });
        match mesh.state.workers[&WorkerId(1)].duty {
            Duty::Leaving { until, why: Why::Drained } => until.since(mesh.now).0,
            ref other => panic!("it is drained, not {other:?}"),
        }
    };
    let within = |ms: u64| Ending::Within(Millis(ms));
    let told = [5_000, 60_000, 20_000].map(|ms| drain(&mut mesh, None, within(ms)));
    // The device has a deadline of its own, which goes on when the node may take its time.
    let told = (told, drain(&mut mesh, Some("cpu"), within(8_000)), drain(&mut mesh, None, Ending::WhenDone));
    assert_eq!(told, ([5_000, 60_000, 20_000], 8_000, 8_000));
    mesh.wait(7_999);
    let early = mesh.changes();
    mesh.apply(Command::Unblock { node: A, device: Some("cpu".into()) });
    mesh.wait(1);
    assert_eq!((early, mesh.changes()), (vec![], vec![]), "what is left is a drain without a deadline");
    assert_eq!(drain(&mut mesh, None, within(1_000)), 1_000);
    mesh.wait(1_000);
    assert_eq!(mesh.changes(), [Change::Stop(WorkerId(1))]);
}

#[test]
fn a_worker_that_stays_after_all_makes_up_for_its_eviction() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let low = mesh.open(SessionSpec { grace: Millis(60_000), ..low(1) });
    mesh.plan();
    mesh.open(preemptive(90, 1));
    mesh.plan();
    assert_eq!(mesh.state.sessions[&low].evicted, 1);
    let (by, reason, ending) = (Author::Operator, "new fan".into(), Ending::Within(Millis(1_000)));
    mesh.apply(Command::Block { node: A, device: None, by, reason, ending });
    mesh.apply(Command::Unblock { node: A, device: None });
    assert_eq!((mesh.nodes_of(low), mesh.state.sessions[&low].evicted), (vec![A], 0));
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
    the session cannot be: policy gpu-binding places it on GPUs and sticks only, and its target runs on none: give another --target or --policy
    the mesh could not hold the workers of this session: it asks for 3 fixed workers; all nodes together could hold 2
    the mesh could not hold the workers of this session: it asks for 11 fixed workers; all nodes together could hold 10
    ");
    for fits in [on_gpu(4, 500, 2), session(10)] {
        mesh.open(SessionSpec { refuse_unfit: true, ..fits });
    }
}
