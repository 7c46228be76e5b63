//! Whose turn it is, who has to leave, and what a session keeps to itself.

use super::*;

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

/// Two exclusive GPUs on two nodes or one, the first of which is taken by session 1, whose worker there fails.
fn failed_on_its_own_gpu(nodes: &[NodeId]) -> (Mesh, String) {
    let mut mesh = Mesh::founded();
    for id in nodes {
        mesh.apply(Command::NodeJoin(gpu_node(*id, &[gpu("gpu-0", 8)])));
    }
    mesh.open(SessionSpec { policy: Some(PolicyName::Exclusive), ..on_gpu(1, 300, 2) });
    mesh.plan();
    mesh.open(on_gpu(2, 300, 2));
    mesh.failed(WorkerId(1), "it burns");
    let story = story(&mut mesh);
    (mesh, story)
}

#[test]
fn a_device_of_ones_own_is_so_also_while_what_failed_there_is_replaced() {
    let (mut mesh, first) = failed_on_its_own_gpu(&[A]);
    mesh.wait(5_000);
    let again = story(&mut mesh);
    mesh.apply(Command::SessionEnd(SessionId(1)));
    assert_snapshot!([first, again, story(&mut mesh)].join("\n==\n"), @"

    ==
    session 1 starts on gpu-0 of node 1
    ==
    session 2 starts on gpu-0 of node 1
    session 2 starts on gpu-0 of node 1
    ");
}

#[test]
fn a_device_of_ones_own_is_given_back_when_there_is_another_in_its_place() {
    let (_, story) = failed_on_its_own_gpu(&[A, B]);
    assert_snapshot!(story, @"
    session 1 starts on gpu-0 of node 2
    session 2 starts on gpu-0 of node 1
    session 2 starts on gpu-0 of node 1
    ");
}

#[test]
fn a_kept_device_is_open_to_whoever_could_have_taken_it_from_the_worker() {
    let (mut mesh, _) = failed_on_its_own_gpu(&[A]);
    mesh.open(SessionSpec { policy: Some(PolicyName::Preemptive), priority: 90, ..on_gpu(1, 300, 2) });
    assert_snapshot!(story(&mut mesh), @"
    session 3 starts on gpu-0 of node 1
    --
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
fn a_kept_device_is_closed_to_whoever_has_its_fixed_workers_and_wants_more() {
    let (mut mesh, _) = failed_on_its_own_gpu(&[A]);
    let high = SessionSpec { policy: Some(PolicyName::Preemptive), priority: 90, ..on_gpu(0, 300, 2) };
    let high = mesh.open(SessionSpec { share: 1, max: 2, ..high });
    wants(&mut mesh, high, 2);
    assert_snapshot!(story(&mut mesh), @"");
}

#[test]
fn a_kept_device_that_was_only_lent_is_open_to_fixed_workers_of_anybody() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::NodeJoin(gpu_node(A, &[gpu("gpu-0", 8)])));
    let own = SessionSpec { policy: Some(PolicyName::Exclusive), share: 1, max: 2, ..on_gpu(0, 300, 2) };
    let lent = mesh.open(own);
    wants(&mut mesh, lent, 1);
    mesh.plan();
    mesh.failed(WorkerId(1), "it burns");
    let more = mesh.open(SessionSpec { share: 9, max: 2, ..on_gpu(0, 300, 2) });
    wants(&mut mesh, more, 2);
    let kept = story(&mut mesh);
    mesh.wait(5_000);
    mesh.open(on_gpu(2, 300, 2));
    assert_snapshot!(kept + "==\n" + &story(&mut mesh), @"
    ==
    session 3 starts on gpu-0 of node 1
    session 3 starts on gpu-0 of node 1
    --
    session 2 starts on gpu-0 of node 1
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
fn a_victim_is_called_back_when_the_one_it_leaves_for_is_served_elsewhere() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let low = mesh.open(low(1));
    mesh.plan();
    mesh.open(preemptive(90, 1));
    mesh.plan();
    assert_eq!(mesh.changes(), [], "it is needed still");
    mesh.apply(Command::NodeJoin(node(B, 1)));
    assert_snapshot!(story(&mut mesh), @"
    session 2 starts on cpu of node 2
    worker 1 of session 1 is called back
    ");
    let session = &mesh.state.sessions[&low];
    assert_eq!((session.evicted, session.lacking_since), (0, None), "nothing has happened");
}

#[test]
fn a_lent_worker_is_called_back_when_the_one_it_leaves_for_is_over() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let lent = mesh.open(sharing(1, 0));
    wants(&mut mesh, lent, 2);
    mesh.plan();
    let first = mesh.session(1);
    mesh.plan();
    mesh.session(1);
    mesh.plan();
    mesh.apply(Command::SessionEnd(first));
    assert_snapshot!(story(&mut mesh), @"
    worker 2 of session 1 is called back
    --
    session 3 starts on cpu of node 1
    ");
}

#[test]
fn nobody_is_called_back_where_somebody_else_comes_first() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.open(SessionSpec { grace: Millis(60_000), ..low(1) });
    mesh.plan();
    let first = mesh.open(preemptive(90, 1));
    mesh.plan();
    mesh.open(preemptive(80, 1));
    mesh.apply(Command::SessionEnd(first));
    assert_snapshot!(story(&mut mesh), @"session 3 starts on cpu of node 1");
}

/// Three leave for three workers. One of them is stopped, and one of the three starts there: two leave for two that lack then,
/// though both of those would have room where the first of the two leaves.
#[test]
fn nobody_is_called_back_for_one_that_is_stopped() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 2), (C, 1)]);
    for (at, cores, priority, grace) in [(C, 1, 20, 60_000), (B, 2, 30, 30_000), (A, 1, 10, 1_000)] {
        let victim = mesh.open(SessionSpec { priority, grace: Millis(grace), ..low(cores) });
        mesh.place(victim, at, "cpu");
    }
    mesh.open(SessionSpec { fixed: 3, ..preemptive(90, 1) });
    assert_eq!(mesh.changes().len(), 3, "all have to leave");
    mesh.wait(1_000);
    assert_snapshot!(story(&mut mesh), @"
    worker 3 of session 3 stops
    session 4 starts on cpu of node 1
    --
    session 4 starts on cpu of node 2
    session 4 starts on cpu of node 3
    session 1 starts on cpu of node 2
    ");
}

/// What a plan counts on may be gone when it is carried out: then nobody is called back by it, and the next plan, made on what
/// is so now, does not ask again until there is a reason.
#[test]
fn a_victim_whose_recall_is_refused_goes_on_leaving_until_there_is_a_reason() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.open(low(1));
    mesh.plan();
    mesh.open(preemptive(90, 1));
    mesh.plan();
    mesh.apply(Command::NodeJoin(node(B, 1)));
    let stale = skein_core::plan(&mesh.state, mesh.now);
    mesh.apply(Command::NodeDown(B));
    let events = mesh.apply(Command::Plan(stale.clone()));
    let refused =
        |(event, change): (&Event, &Change)| matches!(event, Event::ChangeRefused { change: of, .. } if of == change);
    assert!(events.len() == 2 && events.iter().zip(&stale.changes).all(refused), "{stale:?}: {events:?}");
    assert_eq!(mesh.changes(), [], "it is needed still");
    mesh.apply(Command::NodeUp(B));
    assert_eq!(mesh.changes(), stale.changes);
}

#[test]
fn only_what_is_left_for_a_session_is_kept_for_it() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let filler = mesh.open(SessionSpec { need: cores(3), ..session(1) });
    let lent = mesh.open(sharing(1, 0));
    wants(&mut mesh, lent, 1);
    mesh.plan();
    mesh.open(SessionSpec { need: cores(2), ..session(1) });
    mesh.session(3);
    mesh.plan();
    mesh.apply(Command::SessionEnd(filler));
    assert_snapshot!(story(&mut mesh), @"
    session 3 starts on cpu of node 1
    session 4 starts on cpu of node 1
    --
    session 4 starts on cpu of node 1
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
