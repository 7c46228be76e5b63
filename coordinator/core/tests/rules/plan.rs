//! Which workers should exist, and where.

use skein_core::capability::DeviceKind;
use skein_core::explain::{self, Verdict};
use skein_core::plan::feasible::{Unfit, check};
use skein_core::plan::{Placement, Plan, STARVES_AFTER, wake_at};
use skein_core::session::{Failure, Hold, STEADY_AFTER, SessionSpec};
use skein_core::{Command, Millis, NodeId, Resources, SessionId, WorkerId, plan};

use crate::mesh::{A, B, C, Mesh, cores, device, node, session};

#[test]
fn nothing_asked_for_is_nothing_planned() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    assert_eq!(plan(&mesh.state, mesh.now), Plan::default());
    mesh.session(2);
    assert_eq!(mesh.plan().len(), 2);
    assert!(plan(&mesh.state, mesh.now).is_empty(), "a fixed point");
}

#[test]
fn a_sessions_workers_are_spread_so_that_one_loss_never_takes_them_all() {
    // The first node alone could hold all of them.
    let mut mesh = Mesh::of(&[(A, 9), (B, 2), (C, 1)]);
    let id = mesh.session(5);
    mesh.plan();
    assert_eq!(mesh.nodes_of(id), [A, B, C, A, B]);
}

#[test]
fn spreading_comes_before_an_even_crowd() {
    let mut mesh = Mesh::of(&[(A, 9)]);
    mesh.session(3);
    mesh.plan();
    mesh.apply(Command::NodeJoin(node(B, 9)));
    let id = mesh.session_of("dogs", 2);
    mesh.plan();
    assert_eq!(mesh.nodes_of(id), [B, A], "B is empty but for the first of them, and A is not");
}

#[test]
fn among_equals_the_least_crowded_node_is_taken() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4), (C, 4)]);
    let first = mesh.session(2);
    let (second, third) = (mesh.session_of("dogs", 1), mesh.session_of("cows", 1));
    mesh.plan();
    assert_eq!(mesh.nodes_of(first), [A, B]);
    assert_eq!(mesh.nodes_of(second), [C]);
    assert_eq!(mesh.nodes_of(third), [A]);
}

#[test]
fn a_second_device_of_a_node_is_used_when_the_first_is_full() {
    let mut mesh = Mesh::founded();
    let gpu = Resources { gpu_milli: 1_000, ..Resources::default() };
    let mut spec = node(A, 3);
    spec.capability.targets = vec!["onnxruntime".into()];
    spec.capability.devices = ["gpu-0", "gpu-1"].map(|name| device(name, DeviceKind::Gpu, gpu.clone())).into();
    spec.capability.devices.push(device("stick", DeviceKind::Movidius, gpu));
    mesh.apply(Command::NodeJoin(spec));
    let need = Resources { gpu_milli: 600, ..cores(1) };
    mesh.apply(Command::SessionCreate(SessionSpec { target: "onnxruntime".into(), need, ..session(3) }));
    let id = mesh.state.last_session;
    mesh.plan();
    let devices: Vec<&str> = mesh.state.workers_of(id).map(|(_, worker)| worker.device.as_str()).collect();
    assert_eq!(devices, ["gpu-0", "gpu-1"], "one GPU has no room for two, and it does not run on the stick");
}

#[test]
fn a_device_that_nothing_drives_gets_no_work() {
    let mut mesh = Mesh::founded();
    let drives = |gpu_milli| Resources { gpu_milli, gpu_memory_bytes: 8 << 30, ..Resources::default() };
    let spec = |gpu_milli| {
        let mut spec = node(A, 3);
        spec.capability.targets = vec!["simulated".into()];
        spec.capability.devices = vec![device("gpu-0", DeviceKind::Gpu, drives(gpu_milli))];
        spec
    };
    mesh.apply(Command::NodeJoin(spec(0)));
    for hold in [Hold::Nothing, Hold::Device, Hold::EachDevice, Hold::Named { node: A, device: "gpu-0".into() }] {
        let hold = Some(hold);
        mesh.apply(Command::SessionCreate(SessionSpec { target: "simulated".into(), hold, ..session(1) }));
    }
    assert_eq!(mesh.plan(), []);
    let alone = SessionId(2);
    let node = &mesh.state.nodes[&A];
    let unfit = check(&mesh.state, mesh.now, &Placement { session: alone, node: A, device: "gpu-0".into() });
    assert_eq!(unfit.map(|_| ()), Err(Unfit::NotDriven("gpu-0".into())), "{node:?}");
    mesh.apply(Command::NodeJoin(spec(1_000)));
    assert_eq!(mesh.plan(), [(alone, A)]);
    mesh.apply(Command::NodeJoin(spec(0)));
    assert_eq!(mesh.nodes_of(alone), [], "it broke, or its target is gone");
}

#[test]
fn first_come_first_served_and_the_next_gets_what_the_first_cannot_use() {
    let mut mesh = Mesh::of(&[(A, 3)]);
    mesh.apply(Command::SessionCreate(SessionSpec { need: cores(2), ..session(2) }));
    let (large, small) = (SessionId(1), mesh.session(1));
    assert_eq!(mesh.plan(), [(large, A), (small, A)], "the first lacks two cores more, and one is left");
    assert!(plan(&mesh.state, mesh.now).is_empty());
    mesh.apply(Command::NodeJoin(node(B, 2)));
    assert_eq!(mesh.plan(), [(large, B)]);
}

#[test]
fn a_node_that_drops_is_made_up_for_elsewhere_and_comes_back_empty() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 2)]);
    let id = mesh.session(2);
    mesh.plan();
    mesh.apply(Command::NodeDown(A));
    assert_eq!(mesh.plan(), [(id, B)]);
    mesh.apply(Command::NodeUp(A));
    assert!(plan(&mesh.state, mesh.now).is_empty());
    assert_eq!(mesh.nodes_of(id), [B, B]);
}

#[test]
fn a_place_where_workers_failed_is_passed_over_for_a_while_and_ever_longer() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let id = mesh.session(1);
    for seconds in [5, 10, 20, 40, 80, 160, 320, 320] {
        assert_eq!(mesh.plan(), [(id, A)]);
        assert_eq!(wake_at(&mesh.state, mesh.now), None, "nothing lacks");
        mesh.failed(mesh.state.last_worker, "it burns");
        assert_eq!(mesh.plan(), []);
        let end = Millis(mesh.now.0 + seconds * 1_000);
        let starves = mesh.state.sessions[&id].starves_from(mesh.now).unwrap();
        assert_eq!(wake_at(&mesh.state, mesh.now), Some(end.min(starves)));
        mesh.now = Millis(end.0 - 1);
        assert_eq!(mesh.plan(), []);
        mesh.now = end;
    }
}

#[test]
fn a_hold_off_is_for_one_session_on_one_node() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 1)]);
    let id = mesh.session(1);
    mesh.plan();
    mesh.failed(WorkerId(1), "it burns");
    let other = mesh.session(1);
    assert_eq!(mesh.plan(), [(id, B), (other, A)]);
}

#[test]
fn the_earliest_of_several_hold_offs_wakes() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    mesh.session(2);
    mesh.plan();
    mesh.failed(WorkerId(1), "it burns");
    mesh.wait(1_000);
    mesh.failed(WorkerId(2), "it burns");
    assert_eq!(wake_at(&mesh.state, mesh.now), Some(Millis(mesh.now.0 + 4_000)));
    mesh.wait(4_500);
    assert_eq!(wake_at(&mesh.state, mesh.now), Some(Millis(mesh.now.0 + 500)));
}

#[test]
fn a_ready_worker_does_not_end_the_hold_off_that_another_has_caused() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let id = mesh.session(2);
    mesh.plan();
    mesh.failed(WorkerId(1), "no room for two");
    mesh.ready(WorkerId(2));
    assert_eq!(mesh.plan(), [], "it would fail again at once");
    mesh.wait(5_000);
    assert_eq!(mesh.plan(), [(id, A)]);
    mesh.ready(WorkerId(3));
    mesh.failed(WorkerId(3), "it starts, and crashes");
    assert_eq!(mesh.state.sessions[&id].failures[&A].times, 2, "starting alone makes up for nothing");
    mesh.wait(10_000 + STEADY_AFTER.0);
    mesh.plan();
    mesh.ready(WorkerId(4));
    assert!(mesh.state.sessions[&id].failures.is_empty());
}

/// A board without a battery for its clock leads for a while, an hour ahead.
#[test]
fn a_failure_from_the_future_does_not_bar_a_node_until_then() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let id = mesh.session(1);
    mesh.plan();
    mesh.wait(3_600_000);
    mesh.failed(WorkerId(1), "it burns");
    mesh.now = Millis(mesh.now.0 - 3_600_000);
    assert_eq!(wake_at(&mesh.state, mesh.now), None);
    assert_eq!(mesh.plan(), [(id, A)]);
    let slightly_ahead = Failure { times: 1, at: Millis(mesh.now.0 + 200), reason: String::new() };
    assert!(slightly_ahead.holds(mesh.now), "clocks always differ a little");
}

#[test]
fn a_plan_is_of_bounded_size_and_the_rest_follows() {
    let mut mesh = Mesh::of(&[(A, 300)]);
    mesh.session(300);
    assert_eq!(mesh.plan().len(), 256);
    assert_eq!(mesh.plan().len(), 44);
    assert_eq!(mesh.plan().len(), 0);
}

#[test]
fn who_waits_is_told_why_of_every_place() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1), (C, 1), (NodeId(4), 0)]);
    let id = mesh.session(4);
    mesh.apply(Command::NodeDown(B));
    mesh.plan();
    mesh.failed(WorkerId(2), "it burns");
    let told = explain::session(&mesh.state, mesh.now, id).unwrap();
    let told: Vec<String> = told
        .places
        .iter()
        .map(|place| match &place.verdict {
            Verdict::Refused(unfit) => format!("{}, device '{}': {unfit}", place.node_name, place.device),
            Verdict::Scored(score) => panic!("{score:?}"),
        })
        .collect();
    let expected = [
        "node-1, device 'cpu': it needs 1000m cpu, 0m cpu are left",
        "node-2, device 'cpu': node 0000000000000002 is down",
        "node-3, device 'cpu': its workers failed on node 0000000000000003 of late, so it is passed over for a while",
        "node-4, device 'cpu': it needs 1000m cpu, 0m cpu are left",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_explanation_says_what_is_kept_for_those_who_have_waited_long() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    mesh.session(2);
    mesh.plan();
    let large = mesh.open(SessionSpec { need: cores(3), ..session(1) });
    mesh.wait(STARVES_AFTER.0);
    let small = mesh.session(1);
    assert_eq!(mesh.plan(), []);
    let told = explain::session(&mesh.state, mesh.now, small).unwrap();
    assert_eq!(told.places[0].verdict, Verdict::Refused(Unfit::PromisedTo(large)));
}

#[test]
fn a_worker_that_was_given_back_is_not_counted_as_one_of_its_session() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let id = mesh.open(SessionSpec { share: 1, max: 3, ..session(2) });
    mesh.apply(Command::SessionWant { session: id, workers: 3 });
    mesh.plan();
    mesh.apply(Command::SessionWant { session: id, workers: 0 });
    mesh.plan();
    let warm = mesh.state.index().session(id).unwrap().warm().next().unwrap();
    let told = explain::worker(&mesh.state, mesh.now, warm).unwrap();
    let Verdict::Scored(score) = &told.places[0].verdict else { panic!("{:?}", told.places) };
    assert_eq!(score.same_session, 2);
}
