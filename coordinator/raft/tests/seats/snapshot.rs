use skein_core::NodeId;
use skein_raft::Role;

use crate::world::{World, fat, has, join, until, until_state};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_learner_catches_up_by_a_snapshot_of_several_pieces() {
    let mut world = World::with_short_logs();
    world.grow(1).await;
    let first = world.seat(1);
    // A mebibyte of state; the last snapshot has at least half of it, which is more than one piece.
    for node in 1000..1120 {
        world.propose(fat(node)).await;
    }
    // Snapshots are made, and the log is cut, beside all else.
    until(&first, "its log is cut", |role| role.purged >= Some(20)).await;
    first.add_learner(NodeId(2)).await.unwrap();
    let second = world.start(2).await;
    until_state(&second, "the state", |state| has(state, 1000) && has(state, 1119)).await;
    assert!(world.calls(2, "snapshot") >= 2, "the log alone would not have done");
    until(&second, "its place", Role::is_member).await;

    world.propose(join(5)).await;
    until_state(&second, "the log behind the snapshot", |state| has(state, 5)).await;
    world.kill(2).await;
    let second = world.start(2).await;
    assert!(second.read(|state| has(state, 1000)), "the snapshot is on its disk");
    assert!(second.is_member());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_restarts_from_its_snapshot_and_the_log_behind_it() {
    let mut world = World::with_short_logs();
    world.grow(1).await;
    for node in 100..205 {
        world.propose(join(node)).await;
    }
    world.kill(1).await;
    let seat = world.start(1).await;
    assert!((100..200).all(|node| seat.read(|state| has(state, node))), "before anybody leads");
    until(&seat, "itself leading", |role| role.is_leader).await;
    assert!(seat.read(|state| has(state, 204)));
    world.propose(join(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_for_long_comes_back_by_snapshot() {
    let mut world = World::with_short_logs();
    world.grow(3).await;
    let leader = world.leader().await.role().node.0;
    let away = (1..=3).find(|node| *node != leader).unwrap();
    world.kill(away).await;
    for node in 100..200 {
        world.propose(join(node)).await;
    }
    let back = world.start(away).await;
    until_state(&back, "everything", |state| (100..200).all(|node| has(state, node))).await;
    assert!(world.calls(away, "snapshot") > 0);
}
