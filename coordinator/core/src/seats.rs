//! Who votes: the leader's choice of seats.

use alloc::collections::BTreeSet;

use crate::ids::NodeId;
use crate::state::State;

/// How many voters a mesh has once it is large enough: three outlive the loss of one.
pub const VOTERS: usize = 3;

/// The next change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatChange {
    /// A node that joined gets a replica of the log, without a vote.
    AddLearner(NodeId),
    /// These vote from now on.
    SetVoters(BTreeSet<NodeId>),
}

/// The next change, one at a time; none where the seats are as they should be.
///
/// The number of voters is odd: a second voter would only double the ways to lose the quorum of one, so a mesh of two has one
/// voter and one learner. A node that is down is not seated: waiting for it would keep everybody else waiting. Voters stay; the nodes with the lowest ids that are up fill what is open.
pub fn next_change(state: &State, voters: &BTreeSet<NodeId>, learners: &BTreeSet<NodeId>) -> Option<SeatChange> {
    let up = || state.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id);
    if let Some(newcomer) = up().find(|node| !voters.contains(node) && !learners.contains(node)) {
        return Some(SeatChange::AddLearner(newcomer));
    }
    let candidates: BTreeSet<NodeId> = up().filter(|id| learners.contains(id) && !voters.contains(id)).collect();
    let wanted = largest_odd((voters.len() + candidates.len()).min(VOTERS));
    if voters.len() >= wanted {
        return None;
    }
    let open = wanted - voters.len();
    Some(SeatChange::SetVoters(voters.iter().copied().chain(candidates.into_iter().take(open)).collect()))
}

fn largest_odd(count: usize) -> usize {
    if count.is_multiple_of(2) { count.saturating_sub(1) } else { count }
}
