//! Who votes.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::Power;
use skein_core::seats::{
    BEHIND_MAX, EvictRefusal, Proposal, Rules, SeatChange, View, Waiting, Why, may_evict, next_change, waiting,
};
use skein_core::{Command, MeshId, Millis, NodeId, Refusal};

use crate::mesh::{self, Mesh};

mod chosen;
mod random;

/// A mesh with its seats, which are not in its state.
pub(crate) struct Table {
    pub(crate) mesh: Mesh,
    pub(crate) leader: NodeId,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) learners: BTreeSet<NodeId>,
    /// Only of those that lack something.
    pub(crate) behind: BTreeMap<NodeId, u64>,
}

pub(crate) fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn voters(ids: &[u64]) -> SeatChange {
    SeatChange::SetVoters(self::ids(ids))
}

impl Table {
    /// So many nodes, of which these vote and the rest, but for the newcomers, learn. Node 1 leads.
    pub(crate) fn of(nodes: u64, voters: &[u64], learners: &[u64]) -> Self {
        let mesh = Mesh::of(&(1..=nodes).map(|id| (NodeId(id), 1)).collect::<Vec<_>>());
        let (voters, learners) = (ids(voters), ids(learners));
        Self { mesh, leader: NodeId(1), voters, learners, behind: BTreeMap::new() }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let members = self.voters.iter().chain(&self.learners);
        let mut behind: BTreeMap<NodeId, u64> = members.map(|node| (*node, 0)).collect();
        behind.extend(&self.behind);
        look(&View {
            state: &self.mesh.state,
            leader: self.leader,
            voters: &self.voters,
            learners: &self.learners,
            behind: &behind,
            now: self.mesh.now,
        })
    }

    pub(crate) fn next(&self) -> Option<Proposal> {
        self.look(next_change)
    }

    fn change(&self) -> Option<SeatChange> {
        self.next().map(|proposal| proposal.change)
    }

    /// As Raft would: whoever loses the vote stays a learner.
    pub(crate) fn carry_out(&mut self, change: SeatChange) {
        match change {
            SeatChange::AddLearner(node) => assert!(self.learners.insert(node), "{node} learns already"),
            SeatChange::SetVoters(new) => {
                self.learners.extend(&self.voters);
                self.learners.retain(|node| !new.contains(node));
                self.voters = new;
                if !self.voters.contains(&self.leader) {
                    self.leader = *self.voters.iter().find(|voter| self.is_up(**voter)).expect("a voter is up");
                }
            }
        }
    }

    /// Carries out change after change; who votes in the end.
    pub(crate) fn settle(&mut self) -> BTreeSet<NodeId> {
        for _ in 0..40 {
            match self.next() {
                None => return self.voters.clone(),
                Some(Proposal { change, .. }) => self.carry_out(change),
            }
        }
        panic!("the seats never settle: {:?}, {:?}", self.voters, self.learners);
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.mesh.state.nodes.get(&node).is_some_and(|node| node.up)
    }

    fn down(&mut self, node: u64) {
        self.mesh.apply(Command::NodeDown(NodeId(node)));
    }

    fn up(&mut self, node: u64) {
        self.mesh.apply(Command::NodeUp(NodeId(node)));
    }

    fn rules(&mut self, voters: usize, replace_after_ms: u64) {
        self.mesh.apply(Command::SeatsSet(Rules { voters, replace_after: Millis(replace_after_ms) }));
    }

    /// A node states of itself what it lives on, how fast its disk is, and where it stands.
    fn states(&mut self, node: u64, power: Power, flush_ms: Option<u16>, zone: &str) {
        let mut spec = mesh::node(NodeId(node), 1);
        spec.capability.power = power;
        spec.capability.flush_ms = flush_ms;
        if !zone.is_empty() {
            spec.capability.labels.insert("zone".into(), zone.into());
        }
        self.mesh.apply(Command::NodeJoin(spec));
    }
}

#[test]
fn meshes_of_one_to_five_nodes() {
    let expected: [(&[u64], &[u64]); 5] =
        [(&[1], &[]), (&[1], &[2]), (&[1, 2, 3], &[]), (&[1, 2, 3], &[4]), (&[1, 2, 3], &[4, 5])];
    for (count, (voters, learners)) in (1..).zip(expected) {
        let mut table = Table::of(count, &[1], &[]);
        assert_eq!(table.settle(), ids(voters), "{count} nodes");
        assert_eq!(table.learners, ids(learners), "{count} nodes");
    }
}

#[test]
fn a_newcomer_learns_before_anybody_votes() {
    let table = Table::of(4, &[1], &[2, 3]);
    assert_eq!(table.next(), Some(Proposal { change: SeatChange::AddLearner(NodeId(4)), why: Why::Joined }));
}

#[test]
fn voters_grow_from_one_to_three_at_once_and_only_by_those_who_have_the_log() {
    let mut table = Table::of(4, &[1], &[2, 3, 4]);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 2, 3]), why: Why::MoreVoters }));
    table.behind.insert(NodeId(2), BEHIND_MAX + 1);
    assert_eq!(table.change(), Some(voters(&[1, 3, 4])));
    table.behind.insert(NodeId(3), BEHIND_MAX + 1);
    assert_eq!(table.change(), None, "two would be no better than one");
}

#[test]
fn a_node_that_is_down_gets_no_seat_and_keeps_nobody_waiting() {
    let mut table = Table::of(4, &[1], &[]);
    table.down(2);
    assert_eq!(table.settle(), ids(&[1, 3, 4]));
    table.up(2);
    assert_eq!(table.settle(), ids(&[1, 3, 4]));
    assert_eq!(table.learners, ids(&[2]));
}

#[test]
fn a_voter_that_is_gone_is_replaced_after_the_set_time_and_learns_when_it_is_back() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    table.rules(3, 60_000);
    table.down(3);
    table.mesh.wait(59_999);
    assert_eq!(table.next(), None);
    let due = Waiting::Due { voter: NodeId(3), at: Millis(1_060_000), by: Some(NodeId(4)) };
    assert_eq!(table.look(waiting), [due]);
    table.mesh.wait(1);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 2, 4]), why: Why::Gone(NodeId(3)) }));
    assert_eq!(table.settle(), ids(&[1, 2, 4]));
    table.up(3);
    assert_eq!(table.next(), None);
    assert_eq!(table.learners, ids(&[3]));
}

#[test]
fn a_voter_that_nobody_can_replace_keeps_its_seat() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    table.down(3);
    table.down(4);
    table.mesh.wait(10_000_000);
    assert_eq!(table.next(), None);
    assert_eq!(table.look(waiting), [Waiting::NobodyElse(NodeId(3))]);
    table.up(4);
    table.behind.insert(NodeId(4), BEHIND_MAX + 1);
    assert_eq!(table.next(), None, "it has to catch up first");
    table.behind.clear();
    assert_eq!(table.change(), Some(voters(&[1, 2, 4])));
}

#[test]
fn nothing_is_changed_without_a_majority() {
    let mut table = Table::of(5, &[1, 2, 3], &[4, 5]);
    table.down(2);
    table.down(3);
    table.mesh.wait(10_000_000);
    assert_eq!(table.next(), None, "the old majority is down");
}

#[test]
fn of_five_two_that_are_gone_are_replaced_one_after_another_the_longer_gone_first() {
    let mut table = Table::of(7, &[1, 2, 3, 4, 5], &[6, 7]);
    table.rules(5, 60_000);
    table.down(4);
    table.mesh.wait(10_000);
    table.down(2);
    table.mesh.wait(60_000);
    assert_eq!(table.change(), Some(voters(&[1, 2, 3, 5, 6])));
    assert_eq!(table.settle(), ids(&[1, 3, 5, 6, 7]));
}

#[test]
fn three_become_five_and_five_three_again() {
    let mut table = Table::of(6, &[1], &[]);
    table.settle();
    assert_eq!(table.look(waiting), []);
    table.rules(5, 60_000);
    assert_eq!(table.settle(), ids(&[1, 2, 3, 4, 5]));
    table.down(2);
    table.rules(3, 60_000);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 3, 4]), why: Why::FewerVoters }));
    let mut small = Table::of(4, &[1, 2, 3], &[4]);
    small.rules(5, 60_000);
    assert_eq!(small.next(), None);
    assert_eq!(small.look(waiting), [Waiting::TooFewNodes { voters: 3, wanted: 5 }]);
}

#[test]
fn what_cannot_be_set_is_refused() {
    let mut table = Table::of(1, &[1], &[]);
    for (voters, after) in [(1, 60_000), (4, 60_000), (7, 60_000), (3, 0), (3, u64::MAX)] {
        let rules = Rules { voters, replace_after: Millis(after) };
        assert_eq!(table.mesh.refusal(Command::SeatsSet(rules)), Refusal::BadRules(rules));
    }
}

#[test]
fn an_evicted_voter_gives_its_seat_to_another_and_gets_none_until_it_is_allowed() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    assert_eq!(table.look(|view| may_evict(view, NodeId(2))), Ok(()));
    table.mesh.apply(Command::SeatEvict(NodeId(2)));
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 3, 4]), why: Why::Evicted(NodeId(2)) }));
    table.settle();
    table.down(4);
    table.mesh.wait(10_000_000);
    assert_eq!(table.next(), None, "not even in the place of one that is gone");
    assert!(table.mesh.apply(Command::SeatEvict(NodeId(2))).is_empty(), "it is evicted already");
    table.mesh.apply(Command::SeatAllow(NodeId(2)));
    assert_eq!(table.settle(), ids(&[1, 2, 3]));
    assert_eq!(table.mesh.refusal(Command::SeatAllow(NodeId(2))), Refusal::NotEvicted(NodeId(2)));
    assert_eq!(table.mesh.refusal(Command::SeatEvict(NodeId(9))), Refusal::NoNode(NodeId(9)));
}

#[test]
fn an_eviction_that_would_cost_the_quorum_is_refused() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    let evict = |table: &Table, node: u64| table.look(|view| may_evict(view, NodeId(node)));
    assert_eq!(evict(&table, 4), Ok(()), "it does not vote");
    table.down(4);
    assert_eq!(evict(&table, 2), Err(EvictRefusal::NobodyElse(NodeId(2))));
    table.up(4);
    table.down(3);
    table.down(2);
    assert_eq!(evict(&table, 1), Err(EvictRefusal::WouldLoseQuorum(NodeId(1))));
    let alone = Table::of(1, &[1], &[]);
    assert_eq!(evict(&alone, 1), Err(EvictRefusal::NobodyElse(NodeId(1))));
}

#[test]
fn the_only_voter_may_hand_over() {
    let mut table = Table::of(2, &[1], &[2]);
    table.mesh.apply(Command::SeatEvict(NodeId(1)));
    assert_eq!(table.settle(), ids(&[2]));
}

#[test]
fn a_recovered_mesh_has_another_name_and_waits_for_nobody() {
    let mut table = Table::of(3, &[1, 2, 3], &[]);
    table.mesh.apply(Command::SeatEvict(NodeId(3)));
    table.mesh.apply(Command::Recover { mesh: MeshId(8), by: NodeId(3) });
    let state = &table.mesh.state;
    assert_eq!(state.mesh, Some(MeshId(8)));
    assert_eq!(
        state.seats.recoveries.last().map(|recovery| (recovery.from, recovery.by)),
        Some((MeshId(7), NodeId(3)))
    );
    assert!(state.seats.evicted.is_empty(), "it is all there is to vote");
    let up: Vec<NodeId> = state.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id).collect();
    assert_eq!(up, [NodeId(3)]);
    table.leader = NodeId(3);
    table.voters = ids(&[3]);
    assert_eq!(table.next(), None);
    assert_eq!(table.mesh.refusal(Command::Recover { mesh: MeshId(9), by: NodeId(9) }), Refusal::NoNode(NodeId(9)));
}
