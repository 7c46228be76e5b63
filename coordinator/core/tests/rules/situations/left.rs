//! Room that others are about to leave: for whom it is kept, and who may count on it.

use super::*;

/// These have to leave for this session.
fn leaves(mesh: &mut Mesh, workers: &[WorkerId], by: SessionId) {
    let leave = |worker: &WorkerId| Change::Leave { worker: *worker, why: Why::Reclaimed { by } };
    mesh.apply(Command::Plan(Plan { changes: workers.iter().map(leave).collect() }));
}

/// A worker of a session stands on a node.
fn stands(mesh: &mut Mesh, session: SessionId, node: NodeId, device: &str) -> WorkerId {
    mesh.place(session, node, device);
    mesh.state.last_worker
}

/// A session of low priority whose workers take their time to leave.
fn slow(fixed: u32) -> SessionSpec {
    SessionSpec { fixed, grace: Millis(60_000), ..low(1) }
}

/// The third session would get two cores for one, if only all that left made room for it; but what the second one waits for is
/// kept for that as soon as it would do.
#[test]
fn nobody_makes_way_where_another_would_have_the_room() {
    let mut mesh = Mesh::of(&[(A, 6)]);
    mesh.apply(Command::PolicySet(PolicyName::Priority));
    let first = mesh.open(slow(1));
    let second = mesh.open(SessionSpec { priority: 20, need: cores(4), ..sharing(1, 0) });
    let third = mesh.open(SessionSpec { priority: 80, need: cores(3), ..sharing(1, 0) });
    wants(&mut mesh, second, 2);
    wants(&mut mesh, third, 1);
    let leaver = stands(&mut mesh, first, A, "cpu");
    stands(&mut mesh, second, A, "cpu");
    leaves(&mut mesh, &[leaver], second);
    assert_snapshot!(story(&mut mesh), @"
    session 1 starts on cpu of node 1
    --
    worker 2 of session 2 makes way for session 3
    --
    session 3 starts on cpu of node 1
    ");
}

/// It has the first processor to itself already, so that it closes nothing to anybody by counting on more room there, whatever
/// processor that is left on.
#[test]
fn a_session_that_has_a_device_to_itself_counts_on_room_there_that_is_left_beside() {
    let mut mesh = Mesh::founded();
    let mut two = node(A, 6);
    two.capability.devices.push(device("cpu-1", DeviceKind::Cpu, Resources::default()));
    mesh.apply(Command::NodeJoin(two));
    let victims = mesh.open(slow(4));
    let other = mesh.open(SessionSpec { need: cores(2), ..slow(1) });
    let own = mesh.open(SessionSpec { hold: Some(Hold::Device), fixed: 2, ..preemptive(90, 2) });
    let workers: Vec<WorkerId> = (0..4).map(|_| stands(&mut mesh, victims, A, "cpu-1")).collect();
    stands(&mut mesh, own, A, "cpu");
    leaves(&mut mesh, &workers[..1], own);
    leaves(&mut mesh, &workers[1..2], other);
    assert_snapshot!(story(&mut mesh), @"session 3 starts on cpu of node 1");
}

/// Two leave for one worker, and it can use the room of the second alone.
#[test]
fn nobody_is_called_back_whose_room_is_the_only_one_that_will_do() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let mut other = node(B, 1);
    other.capability.targets = vec!["openvino".into()];
    mesh.apply(Command::NodeJoin(other));
    let elsewhere = mesh.open(SessionSpec { target: "openvino".into(), ..slow(1) });
    let useless = stands(&mut mesh, elsewhere, B, "cpu");
    let victims = mesh.open(slow(2));
    let workers = [stands(&mut mesh, victims, A, "cpu"), stands(&mut mesh, victims, A, "cpu")];
    let high = mesh.open(preemptive(90, 1));
    leaves(&mut mesh, &[useless, workers[0]], high);
    leaves(&mut mesh, &workers[1..], victims);
    mesh.failed(useless, "it burns");
    assert_snapshot!(story(&mut mesh), @"
    session 3 starts on cpu of node 1
    session 2 starts on cpu of node 1
    ");
}

/// The third session finds a place elsewhere, so that what was kept for it is there for the second, which comes before the fourth.
#[test]
fn what_was_kept_in_vain_goes_to_the_first_that_was_refused_it() {
    let mut mesh = Mesh::founded();
    let (mut both, mut other) = (node(A, 2), node(B, 2));
    both.capability.targets.push("onnxruntime".into());
    other.capability.targets = vec!["onnxruntime".into()];
    mesh.apply(Command::NodeJoin(both));
    let victims = mesh.open(slow(1));
    let leaver = stands(&mut mesh, victims, A, "cpu");
    mesh.session(1);
    let third = mesh.open(SessionSpec { target: "onnxruntime".into(), need: cores(2), ..session(1) });
    mesh.session(1);
    leaves(&mut mesh, &[leaver], third);
    let waits = mesh.changes();
    mesh.apply(Command::NodeJoin(other));
    assert_eq!(waits, []);
    assert_snapshot!(story(&mut mesh), @"
    session 3 starts on cpu of node 2
    worker 1 of session 1 is called back
    session 2 starts on cpu of node 1
    ");
}

/// Both could stand where the first one leaves; then the second would leave for nothing, and come back, and leave.
#[test]
fn what_others_leave_for_a_session_is_claimed_on_each_node() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 2)]);
    let victims = mesh.open(SessionSpec { hold: Some(Hold::Device), ..slow(2) });
    let workers = [stands(&mut mesh, victims, A, "cpu"), stands(&mut mesh, victims, B, "cpu")];
    let high = mesh.open(SessionSpec { fixed: 2, ..preemptive(90, 1) });
    leaves(&mut mesh, &workers, high);
    assert_snapshot!(story(&mut mesh), @"
    session 2 starts on cpu of node 1
    session 2 starts on cpu of node 2
    ");
}
