//! Whether a voter can be evicted now.

use core::fmt;

use crate::ids::NodeId;
use crate::seats::View;

/// Why a voter keeps its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictRefusal {
    /// There is no learner that is up, has the log and was not evicted.
    NobodyElse(NodeId),
    /// With another in its place, too few voters would be up.
    WouldLoseQuorum(NodeId),
}

/// Whether another node can take a voter's place at once. Who does not vote gives nothing up.
pub fn may_evict(view: &View<'_>, node: NodeId) -> Result<(), EvictRefusal> {
    if !view.voters.contains(&node) {
        return Ok(());
    }
    if view.candidates().next().is_none() {
        return Err(EvictRefusal::NobodyElse(node));
    }
    view.swapped(node).map(drop).ok_or(EvictRefusal::WouldLoseQuorum(node))
}

impl fmt::Display for EvictRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyElse(node) => write!(
                f,
                "node {node} keeps its seat: no other node could take it, so the mesh would lose a vote. It takes a node that is \
                 up, has caught up with the log, and was not evicted; `skein coordinator status` shows them"
            ),
            Self::WouldLoseQuorum(node) => write!(
                f,
                "node {node} keeps its seat: with another in its place, half of the voters or more would be down, and the mesh could \
                 decide nothing. Bring voters back first; `skein coordinator status` shows them"
            ),
        }
    }
}

impl core::error::Error for EvictRefusal {}
