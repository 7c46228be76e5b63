use std::collections::BTreeSet;
use std::time::Duration;

use skein_core::NodeId;
use skein_core::command::{Command, Entry, Refusal};
use skein_core::{Event, MeshId, Millis};
use skein_raft::{ChangeError, ProposeError, SeatError};

use crate::world::{World, has, join, until, until_state, within};

fn found(mesh: u64) -> Entry {
    Entry { at: Millis(1), command: Command::Found { mesh: MeshId(mesh) } }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_seat_is_a_complete_mesh() {
    let mut world = World::default();
    let seat = world.start(1).await;
    assert!(!seat.is_member());
    assert_eq!(seat.propose(found(7)).await, Err(ProposeError::NotLeader { leader: None }));

    seat.found().await.unwrap();
    let role = seat.role();
    assert!(role.is_leader && role.is_member());
    assert_eq!((role.leader, role.voters), (Some(NodeId(1)), BTreeSet::from([NodeId(1)])));
    assert_eq!(seat.propose(found(7)).await, Ok(Ok(vec![Event::Founded(MeshId(7))])));
    assert_eq!(seat.propose(found(8)).await, Ok(Err(Refusal::AlreadyFounded(MeshId(7)))), "a refusal is an answer");
    seat.read_barrier().await.unwrap();
    assert_eq!(seat.read(|state| state.mesh), Some(MeshId(7)));
    assert_eq!(seat.found().await, Err(SeatError::AlreadyMember));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_voter_becomes_three_and_each_has_the_state() {
    let world = World::of(3).await;
    let role = until(&world.seat(1), "three voters", |role| role.voters.len() == 3 && !role.changing).await;
    assert!(role.learners.is_empty());
    world.propose(join(50)).await;
    for seat in world.seats() {
        until_state(&seat, "the entry", |state| has(state, 50)).await;
        until(&seat, "three voters", |role| role.voters.len() == 3 && role.leader.is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_says_who_leads() {
    let world = World::of(3).await;
    let leader = world.leader().await.role().node;
    for seat in world.seats() {
        let role = until(&seat, "the leader's name", |role| role.leader == Some(leader)).await;
        if role.node != leader {
            assert_eq!(seat.propose(join(9)).await, Err(ProposeError::NotLeader { leader: Some(leader) }));
            assert!(matches!(seat.read_barrier().await, Err(ProposeError::NotLeader { .. })));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mesh_goes_on_without_a_killed_leader_and_takes_it_back() {
    let mut world = World::of(3).await;
    world.propose(join(50)).await;
    let old = world.leader().await.role();
    world.kill(old.node.0).await;

    let new = world.leader().await.role();
    assert!(new.node != old.node && new.term > old.term);
    world.propose(join(51)).await;

    let back = world.start(old.node.0).await;
    until_state(&back, "what it missed", |state| has(state, 50) && has(state, 51)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_stops_leading_and_its_proposal_is_not_lost_silently() {
    let world = World::of(3).await;
    let old = world.leader().await;
    let node = old.role().node;
    world.cut(node.0);
    let stranded = tokio::spawn({
        let old = old.clone();
        async move { old.propose(join(60)).await }
    });
    until(&old, "the end of its lease", |role| !role.is_leader).await;
    let new = within("another leader", async {
        loop {
            let leader = world.leader().await;
            if leader.role().node != node {
                return leader;
            }
        }
    })
    .await;
    new.propose(join(61)).await.unwrap().unwrap();
    assert!(!old.role().is_leader);
    world.mend(node.0);
    until_state(&old, "the new leader's entry", |state| has(state, 61)).await;
    let answer = within("an answer", stranded).await.unwrap();
    assert!(matches!(answer, Err(ProposeError::NotLeader { .. })), "{answer:?}");
    assert!(!old.read(|state| has(state, 60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_hands_over_to_the_voter_that_it_is_told() {
    let world = World::of(3).await;
    for heir in [2, 3, 1] {
        let leader = world.leader().await;
        within("the transfer", leader.transfer(NodeId(heir))).await.unwrap();
        let now = world.leader().await.role();
        assert_eq!(now.node, NodeId(heir));
        world.propose(join(50 + heir)).await;
    }
    let leader = world.leader().await;
    assert_eq!(leader.transfer(NodeId(9)).await, Err(ChangeError::NoVoter(NodeId(9))));
    assert!(matches!(world.seat(2).transfer(NodeId(3)).await, Err(ChangeError::NotLeader { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_heir_does_not_answer_leads_on() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let node = leader.role().node;
    let heir = (1..=3).map(NodeId).find(|heir| *heir != node).unwrap();
    until(&leader, "all to have all", |role| role.matched.get(&heir).copied() == role.last_log).await;
    world.cut(heir.0);
    assert_eq!(within("an end", leader.transfer(heir)).await, Err(ChangeError::NotTaken(heir)));
    world.propose(join(50)).await;
    assert_eq!(world.leader().await.role().node, node);
}

/// Grows to three voters and writes; whoever led leads on.
async fn write_without_an_election(mut world: World) {
    world.grow(3).await;
    let term = world.leader().await.role().term;
    for node in 50..56 {
        world.propose(join(node)).await;
    }
    let role = world.leader().await.role();
    assert_eq!(role.term, term, "{role:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_disks_cause_no_election() {
    write_without_an_election(World::with_slow_disks(1..=3, Duration::from_millis(250))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_on_the_slowest_card_leads_on() {
    write_without_an_election(World::with_slow_disks(1..=1, Duration::from_millis(500))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_on_the_slowest_card_follows_on() {
    write_without_an_election(World::with_slow_disks(3..=3, Duration::from_millis(500))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_follower_holds_nobody_up() {
    let world = World::of(3).await;
    let leader = world.leader().await.role().node;
    let follower = (1..=3).find(|node| NodeId(*node) != leader).unwrap();
    world.hang(follower);
    for node in 50..60 {
        world.propose(join(node)).await;
    }
    assert_eq!(world.leader().await.role().term, world.seat(leader.0).role().term);
    world.mend(follower);
    until_state(&world.seat(follower), "what it missed", |state| has(state, 59)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_killed_at_once_come_back_with_everything_acknowledged() {
    let mut world = World::of(3).await;
    for node in 50..70 {
        world.propose(join(node)).await;
    }
    for node in 1..=3 {
        world.kill(node).await;
    }
    for node in 1..=3 {
        assert!(world.start(node).await.is_member());
    }
    let leader = world.leader().await;
    assert!((50..70).all(|node| leader.read(|state| has(state, node))));
    world.propose(join(70)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_cannot_be_made_a_voter() {
    let mut world = World::of(1).await;
    let seat = world.seat(1);
    let both = BTreeSet::from([NodeId(1), NodeId(2)]);
    assert_eq!(seat.set_voters(both.clone()).await, Err(ChangeError::NoLearner(NodeId(2))));
    seat.add_learner(NodeId(2)).await.unwrap();
    assert_eq!(seat.set_voters(both.clone()).await, Err(ChangeError::Behind(NodeId(2))));
    assert!(seat.propose(join(50)).await.is_ok(), "the mesh still commits");
    assert_eq!(seat.set_voters(BTreeSet::new()).await, Err(ChangeError::NoVoters));

    let second = world.start(2).await;
    until_state(&second, "a copy", |state| has(state, 50)).await;
    until(&seat, "the copy", |role| role.matched.contains_key(&NodeId(2))).await;
    seat.set_voters(both).await.unwrap();
    assert!(matches!(second.set_voters(BTreeSet::new()).await, Err(ChangeError::NotLeader { .. })));
    assert!(matches!(second.add_learner(NodeId(3)).await, Err(ChangeError::NotLeader { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_propose_at_once_share_entries_of_the_log_and_each_has_its_own_answer() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let before = leader.role().last_log.unwrap();
    let proposals: Vec<_> = (100..400)
        .map(|node| {
            let leader = leader.clone();
            tokio::spawn(async move { leader.propose(join(node)).await })
        })
        .collect();
    for (node, proposal) in (100..).zip(proposals) {
        let events = within("an answer", proposal).await.unwrap().unwrap().unwrap();
        let is_it = |event: &Event| matches!(event, Event::NodeJoined { node: joined, .. } if *joined == NodeId(node));
        assert!(events.iter().any(is_it), "{events:?}");
    }
    let used = leader.role().last_log.unwrap() - before;
    assert!(used < 100, "300 proposals took {used} entries of the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_applied_in_its_order_and_a_refusal_in_it_stops_nothing() {
    let world = World::of(1).await;
    let seat = world.seat(1);
    let answers = seat.propose_all(vec![found(7), found(8), join(50)]).await.unwrap();
    assert_eq!(answers[0], Ok(vec![Event::Founded(MeshId(7))]));
    assert_eq!(answers[1], Err(Refusal::AlreadyFounded(MeshId(7))));
    assert!(answers[2].is_ok() && answers.len() == 3);
    assert_eq!(seat.propose_all(vec![]).await, Ok(vec![]));

    let answers = seat.propose_all((1000..11_000).map(join).collect()).await.unwrap();
    assert!(answers.len() == 10_000 && answers.iter().all(Result::is_ok), "more than one entry of the log holds");
    assert!(seat.read(|state| has(state, 10_999)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_set_aside_keeps_its_copy() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let node = leader.role().node;
    leader.set_voters(BTreeSet::from([node])).await.unwrap();
    world.propose(join(50)).await;
    for seat in world.seats() {
        until_state(&seat, "the entry", |state| has(state, 50)).await;
        let role = until(&seat, "one voter", |role| role.voters.len() == 1).await;
        assert_eq!(role.learners.len(), 2);
        assert!(seat.is_member());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_read_or_written() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let node = leader.role().node.0;
    for other in (1..=3).filter(|other| *other != node) {
        world.cut(other);
    }
    let barrier = within("an answer", leader.read_barrier()).await;
    assert_eq!(barrier, Err(ProposeError::NoQuorum));
    until(&leader, "the end of its lease", |role| !role.is_leader).await;
}
