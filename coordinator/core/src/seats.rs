//! Who votes: the leader's choice of seats.
//!
//! Voters are chosen for how likely they are to stay: see [`rank`]. One that sits is not unseated for a slightly better one: only
//! where it is gone for longer than the mesh allows, an operator evicts it, or it is worse in kind (on a battery, or the second
//! of its zone) than one that has been up for as long as a voter may be gone. Each such change makes the voters better by
//! one count that only falls, so that the seats come to rest.
//!
//! No change is proposed that could cost the quorum: a majority of the voters before it and of those after it must be up, and who
//! is new among them must have the log.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::state::State;
use crate::time::Millis;
pub use agreed::{
    Agreed, RECOVERIES_MAX, REPLACE_AFTER, REPLACE_AFTER_MAX, REPLACE_AFTER_MIN, Recovery, Rules, VOTERS,
};
pub use evict::{EvictRefusal, may_evict};
pub use outlook::{Waiting, waiting};

mod agreed;
mod evict;
mod outlook;
pub mod rank;

/// How many entries a learner may lack to count as caught up. It gets them within a moment; as a voter it would hold up commits
/// for as long as it lacks more.
pub const BEHIND_MAX: u64 = 100;

/// What the choice is made from.
#[derive(Clone, Copy, Debug)]
pub struct View<'state> {
    /// What the mesh has agreed on: who is there, since when, and what each says of itself.
    pub state: &'state State,
    /// Who chooses: a node that surely is up.
    pub leader: NodeId,
    /// Who votes now.
    pub voters: &'state BTreeSet<NodeId>,
    /// Who has a replica and no vote.
    pub learners: &'state BTreeSet<NodeId>,
    /// How many entries each of them lacks; who never answered is missing.
    pub behind: &'state BTreeMap<NodeId, u64>,
    /// Since the Unix epoch.
    pub now: Millis,
}

/// A change of the membership, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What.
    pub change: SeatChange,
    /// Why.
    pub why: Why,
}

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeatChange {
    /// A node that joined gets a replica of the log, without a vote.
    AddLearner(NodeId),
    /// These vote from now on.
    SetVoters(BTreeSet<NodeId>),
}

/// Why the seats are to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// A node joined.
    Joined,
    /// There are nodes for more voters.
    MoreVoters,
    /// There are more voters than the mesh is set to have.
    FewerVoters,
    /// An operator evicted this voter.
    Evicted(NodeId),
    /// This voter is gone for longer than the mesh allows.
    Gone(NodeId),
    /// This voter lives on a battery, and another that does not has been up for long.
    OnBattery(NodeId),
    /// This voter shares its zone with another, and a node of another zone has been up for long.
    SharesItsZone(NodeId),
}

/// The next change, one at a time; none where the seats are as they should be, or cannot be made so now.
///
/// The number of voters is odd: a second voter would only double the ways to lose the quorum of one, so a mesh of two has one
/// voter and one learner. A node that is down is not seated: waiting for it would keep everybody else waiting.
pub fn next_change(view: &View<'_>) -> Option<Proposal> {
    if let Some(newcomer) = view.newcomer() {
        return Some(Proposal { change: SeatChange::AddLearner(newcomer), why: Why::Joined });
    }
    let (voters, why) = fewer(view).or_else(|| replace(view)).or_else(|| more(view)).or_else(|| improve(view))?;
    Some(Proposal { change: SeatChange::SetVoters(voters), why })
}

type Choice = (BTreeSet<NodeId>, Why);

/// More vote than should: those that serve worst go, the leader last.
fn fewer(view: &View<'_>) -> Option<Choice> {
    let wanted = largest_odd(view.voters.len().min(view.rules().voters));
    if view.voters.len() <= wanted {
        return None;
    }
    let mut stay = BTreeSet::from([view.leader]);
    while stay.len() < wanted {
        stay.insert(rank::best(view, &stay, view.voters.difference(&stay).copied())?);
    }
    view.keeps_majority(&stay).then_some((stay, Why::FewerVoters))
}

/// A voter has to go, and another takes its place: the evicted first, then who is gone for longest.
fn replace(view: &View<'_>) -> Option<Choice> {
    let mut leaving: Vec<(NodeId, Why)> = view.evicted_voters().map(|voter| (voter, Why::Evicted(voter))).collect();
    let mut gone: Vec<NodeId> = view.gone_voters().filter(|voter| view.is_gone_for_long(*voter)).collect();
    gone.sort_by_key(|voter| view.since(*voter));
    leaving.extend(gone.into_iter().map(|voter| (voter, Why::Gone(voter))));
    leaving.into_iter().find_map(|(voter, why)| Some((view.swapped(voter)?, why)))
}

fn more(view: &View<'_>) -> Option<Choice> {
    let wanted = largest_odd((view.voters.len() + view.candidates().count()).min(view.rules().voters));
    if view.voters.len() >= wanted {
        return None;
    }
    let mut voters = view.voters.clone();
    while voters.len() < wanted {
        voters.insert(rank::best(view, &voters, view.candidates().filter(|node| !voters.contains(node)))?);
    }
    view.keeps_majority(&voters).then_some((voters, Why::MoreVoters))
}

/// The first swap that makes the voters better in kind. The leader's own seat comes last: giving it up costs an election.
fn improve(view: &View<'_>) -> Option<Choice> {
    let steady: Vec<NodeId> = view.candidates().filter(|node| view.is_steady(*node)).collect();
    let now = rank::flaws(view, view.voters);
    let others = view.voters.iter().copied().filter(|voter| *voter != view.leader);
    others.chain(view.voters.get(&view.leader).copied()).find_map(|voter| {
        let stay: BTreeSet<NodeId> = view.voters.iter().copied().filter(|other| *other != voter).collect();
        let better = rank::best(view, &stay, steady.iter().copied())?;
        let new: BTreeSet<NodeId> = stay.into_iter().chain([better]).collect();
        let then = rank::flaws(view, &new);
        let why = if then.on_battery < now.on_battery { Why::OnBattery(voter) } else { Why::SharesItsZone(voter) };
        (then < now && view.keeps_majority(&new)).then_some((new, why))
    })
}

impl View<'_> {
    fn rules(&self) -> Rules {
        self.state.seats.rules
    }

    fn is_up(&self, node: NodeId) -> bool {
        node == self.leader || self.state.nodes.get(&node).is_some_and(|node| node.up)
    }

    fn since(&self, node: NodeId) -> Millis {
        self.state.nodes.get(&node).map_or(self.now, |node| node.since)
    }

    /// Whether it has been up or down, as it is now, for as long as a voter may be gone.
    fn has_been_so_for_long(&self, node: NodeId) -> bool {
        let length = self.rules().replace_after;
        (self.since(node) + length).has_come(self.now, length)
    }

    fn is_steady(&self, node: NodeId) -> bool {
        self.is_up(node) && self.has_been_so_for_long(node)
    }

    fn is_gone_for_long(&self, node: NodeId) -> bool {
        !self.is_up(node) && self.has_been_so_for_long(node)
    }

    fn is_evicted(&self, node: NodeId) -> bool {
        self.state.seats.evicted.contains(&node)
    }

    /// A voter of whom nothing is known is one whose joining is still under way.
    fn gone_voters(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().copied().filter(|voter| self.state.nodes.contains_key(voter) && !self.is_up(*voter))
    }

    fn evicted_voters(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().copied().filter(|voter| self.is_evicted(*voter))
    }

    fn newcomer(&self) -> Option<NodeId> {
        let is_member = |node: &NodeId| self.voters.contains(node) || self.learners.contains(node);
        self.state.nodes.keys().copied().find(|node| self.is_up(*node) && !is_member(node))
    }

    /// Who could be given a vote.
    fn candidates(&self) -> impl Iterator<Item = NodeId> {
        self.learners.iter().copied().filter(|node| {
            let has_log = self.behind.get(node).is_some_and(|lacks| *lacks <= BEHIND_MAX);
            has_log && self.is_up(*node) && !self.is_evicted(*node) && !self.voters.contains(node)
        })
    }

    /// The voters with the best candidate in the place of one of them, where that can be had.
    fn swapped(&self, voter: NodeId) -> Option<BTreeSet<NodeId>> {
        let mut voters = self.voters.clone();
        voters.remove(&voter);
        voters.insert(rank::best(self, &voters, self.candidates())?);
        self.keeps_majority(&voters).then_some(voters)
    }

    /// Whether the mesh can commit all through the change: during it, both majorities are needed.
    fn keeps_majority(&self, new: &BTreeSet<NodeId>) -> bool {
        self.has_majority(self.voters) && self.has_majority(new)
    }

    fn has_majority(&self, of: &BTreeSet<NodeId>) -> bool {
        of.iter().filter(|node| self.is_up(**node)).count() * 2 > of.len()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined => f.write_str("it joined"),
            Self::MoreVoters => f.write_str("the mesh has nodes for more voters"),
            Self::FewerVoters => f.write_str("the mesh has more voters than it is set to have"),
            Self::Evicted(node) => write!(f, "an operator evicted node {node}"),
            Self::Gone(node) => write!(f, "node {node} has been gone for too long"),
            Self::OnBattery(node) => {
                write!(f, "node {node} lives on a battery, and one that does not has been up for long")
            }
            Self::SharesItsZone(node) => {
                write!(f, "node {node} shares its zone with a voter, and a node of another zone has been up for long")
            }
        }
    }
}

fn largest_odd(count: usize) -> usize {
    if count.is_multiple_of(2) { count.saturating_sub(1) } else { count }
}
