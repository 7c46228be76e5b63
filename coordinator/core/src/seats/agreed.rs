//! What the mesh has agreed on about its seats.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{MeshId, NodeId};
use crate::time::Millis;

/// How many voters a mesh may be set to have: three outlive the loss of one, five that of two.
pub const VOTERS: [usize; 2] = [3, 5];
/// After how long a voter that is gone is replaced unless the mesh is set otherwise. A board that restarts, for an update say, is
/// back before; and until then a mesh of three does not outlive the loss of another.
pub const REPLACE_AFTER: Millis = Millis(120_000);
/// Less would replace a voter for a lost packet or two.
pub const REPLACE_AFTER_MIN: Millis = Millis(1_000);
/// Whoever wants longer does not want it at all.
pub const REPLACE_AFTER_MAX: Millis = Millis(30 * 86_400_000);
/// Recoveries that are remembered: nodes that slept through more of them are told what they can be told.
pub const RECOVERIES_MAX: usize = 8;

/// Replicated, with the rest of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agreed {
    /// How many vote, and when one is replaced.
    pub rules: Rules,
    /// Nodes that an operator wants to have no vote.
    pub evicted: BTreeSet<NodeId>,
    /// The meshes that this one went on from, the last one last.
    pub recoveries: Vec<Recovery>,
}

/// What an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How many should vote, where there are so many nodes: one of [`VOTERS`].
    pub voters: usize,
    /// How long a voter may be gone before another node takes its place.
    pub replace_after: Millis,
}

/// A mesh was given up, and went on as another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// What it was called.
    pub from: MeshId,
    /// From whose replica it went on.
    pub by: NodeId,
    /// When, since the Unix epoch.
    pub at: Millis,
}

impl Default for Rules {
    fn default() -> Self {
        Self { voters: VOTERS[0], replace_after: REPLACE_AFTER }
    }
}

impl Rules {
    /// Whether a mesh may be set so.
    pub fn within_bounds(&self) -> bool {
        VOTERS.contains(&self.voters) && (REPLACE_AFTER_MIN..=REPLACE_AFTER_MAX).contains(&self.replace_after)
    }
}
