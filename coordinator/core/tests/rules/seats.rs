//! Who votes.

use std::collections::BTreeSet;

use skein_core::seats::{SeatChange, next_change};
use skein_core::{Command, NodeId};

use crate::mesh::Mesh;

fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn mesh_of(count: u64) -> Mesh {
    Mesh::of(&(1..=count).map(|id| (NodeId(id), 1)).collect::<Vec<_>>())
}

/// Carries out change after change, as a leader does: who votes and who learns in the end.
fn settle(
    mesh: &Mesh,
    mut voters: BTreeSet<NodeId>,
    mut learners: BTreeSet<NodeId>,
) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    for _ in 0..10 {
        match next_change(&mesh.state, &voters, &learners) {
            None => return (voters, learners),
            Some(SeatChange::AddLearner(node)) => assert!(learners.insert(node), "{node} learns already"),
            Some(SeatChange::SetVoters(new)) => {
                assert!(new.len() % 2 == 1 && new.is_superset(&voters), "{voters:?} become {new:?}");
                learners.retain(|node| !new.contains(node));
                voters = new;
            }
        }
    }
    panic!("the seats never settle: {voters:?}, {learners:?}");
}

#[test]
fn meshes_of_one_to_five_nodes() {
    let expected: [(&[u64], &[u64]); 5] =
        [(&[1], &[]), (&[1], &[2]), (&[1, 2, 3], &[]), (&[1, 2, 3], &[4]), (&[1, 2, 3], &[4, 5])];
    for (count, (voters, learners)) in (1..).zip(expected) {
        assert_eq!(settle(&mesh_of(count), ids(&[1]), ids(&[])), (ids(voters), ids(learners)), "{count} nodes");
    }
}

#[test]
fn a_newcomer_learns_before_anybody_votes() {
    let mesh = mesh_of(4);
    assert_eq!(next_change(&mesh.state, &ids(&[1]), &ids(&[2, 3])), Some(SeatChange::AddLearner(NodeId(4))));
}

#[test]
fn voters_grow_from_one_to_three_at_once() {
    let mesh = mesh_of(3);
    assert_eq!(next_change(&mesh.state, &ids(&[1]), &ids(&[2])), Some(SeatChange::AddLearner(NodeId(3))));
    assert_eq!(next_change(&mesh.state, &ids(&[1]), &ids(&[2, 3])), Some(SeatChange::SetVoters(ids(&[1, 2, 3]))));
}

#[test]
fn a_node_that_is_down_gets_no_seat_and_keeps_nobody_waiting() {
    let mut mesh = mesh_of(4);
    mesh.apply(Command::NodeDown(NodeId(2)));
    assert_eq!(settle(&mesh, ids(&[1]), ids(&[])), (ids(&[1, 3, 4]), ids(&[])));
    assert_eq!(settle(&mesh, ids(&[1]), ids(&[2])), (ids(&[1, 3, 4]), ids(&[2])));
    mesh.apply(Command::NodeUp(NodeId(2)));
    assert_eq!(settle(&mesh, ids(&[1, 3, 4]), ids(&[])), (ids(&[1, 3, 4]), ids(&[2])));
}

#[test]
fn a_voter_that_is_down_keeps_its_seat() {
    let mut mesh = mesh_of(4);
    mesh.apply(Command::NodeDown(NodeId(3)));
    assert_eq!(next_change(&mesh.state, &ids(&[1, 2, 3]), &ids(&[4])), None);
}

#[test]
fn two_able_nodes_do_not_make_two_voters() {
    let mut mesh = mesh_of(3);
    mesh.apply(Command::NodeDown(NodeId(3)));
    assert_eq!(next_change(&mesh.state, &ids(&[1]), &ids(&[2, 3])), None);
    mesh.apply(Command::NodeUp(NodeId(3)));
    assert!(next_change(&mesh.state, &ids(&[1]), &ids(&[2, 3])).is_some());
}
