//! What the seats wait for, where they are not yet as they should be.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::seats::View;
use crate::time::Millis;

/// Something that is not as it should be, and why nothing is done about it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// A voter is gone; another takes its place after this time.
    Due {
        /// Who.
        voter: NodeId,
        /// When, since the Unix epoch.
        at: Millis,
        /// Who would, as things stand.
        by: Option<NodeId>,
    },
    /// A voter should be replaced, and nobody can take its place.
    NobodyElse(NodeId),
    /// Fewer vote than the mesh is set to have: there are too few nodes that are up and have the log.
    TooFewNodes {
        /// How many vote.
        voters: usize,
        /// How many should.
        wanted: usize,
    },
}

/// Everything that the seats wait for, where no change is due now.
pub fn waiting(view: &View<'_>) -> Vec<Waiting> {
    let mut found = Vec::new();
    for voter in view.voters.iter().copied() {
        let is_gone = view.state.nodes.contains_key(&voter) && !view.is_up(voter);
        let must_go = view.is_evicted(voter) || view.is_gone_for_long(voter);
        let swapped = view.swapped(voter);
        if must_go && swapped.is_none() {
            found.push(Waiting::NobodyElse(voter));
        } else if is_gone && !must_go {
            let by = swapped.and_then(|new| new.difference(view.voters).next().copied());
            found.push(Waiting::Due { voter, at: view.since(voter) + view.rules().replace_after, by });
        }
    }
    let (voters, wanted) = (view.voters.len(), view.rules().voters);
    if voters < wanted {
        found.push(Waiting::TooFewNodes { voters, wanted });
    }
    found
}
