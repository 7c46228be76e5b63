//! What a node is in the mesh.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ServerState;
use skein_core::NodeId;

use crate::types::{Fatal, Metrics};

/// What a node is in the mesh, as it knows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Who this is.
    pub node: NodeId,
    /// The term it is in.
    pub term: u64,
    /// Who leads that term, if somebody is known to.
    pub leader: Option<NodeId>,
    /// Whether this node may lead: it was elected, its state holds everything that was acknowledged before its term, and
    /// a majority answered it so recently that nobody else can have been elected.
    pub is_leader: bool,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Whether a change of voters is half done. A leader that died in the middle leaves it so, and the next one ends it by
    /// setting the voters to its goal.
    pub changing: bool,
    /// Who votes once the change that is half done is over; the voters where none is.
    pub goal: BTreeSet<NodeId>,
    /// Who has a copy and no vote.
    pub learners: BTreeSet<NodeId>,
    /// The index of the last entry that was cut off its log, as a snapshot holds it.
    pub purged: Option<u64>,
    /// The index of the last entry in its log.
    pub last_log: Option<u64>,
    /// The index of the last entry that its state holds.
    pub applied: Option<u64>,
    /// On the leader, the index up to which each member is known to have the log; who never answered is missing.
    pub matched: BTreeMap<NodeId, u64>,
    /// Why the seat has stopped for good, where something broke it. The agent should stop too, and say this.
    pub failure: Option<String>,
}

impl Role {
    /// Whether this node belongs to a mesh, as a voter or a learner.
    pub fn is_member(&self) -> bool {
        self.voters.contains(&self.node) || self.learners.contains(&self.node)
    }

    /// As openraft's metrics have it. `is_leader` only says that it was elected: whether its state and its majority are
    /// there takes more than one look.
    pub(super) fn of(metrics: &Metrics) -> Self {
        let membership = metrics.membership_config.membership();
        let is_elected = metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id);
        let matched = metrics.replication.iter().flatten();
        Self {
            node: NodeId(metrics.id),
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            is_leader: metrics.running_state.is_ok() && is_elected,
            voters: membership.voter_ids().map(NodeId).collect(),
            changing: membership.get_joint_config().len() > 1,
            goal: membership.get_joint_config().last().into_iter().flatten().copied().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            purged: metrics.purged.map(|id| id.index),
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|id| id.index),
            matched: matched.filter_map(|(node, id)| Some((NodeId(*node), (*id)?.index))).collect(),
            failure: metrics.running_state.as_ref().err().and_then(failure),
        }
    }
}

fn failure(fatal: &Fatal) -> Option<String> {
    match fatal {
        Fatal::Stopped => None,
        Fatal::StorageError(error) => Some(error.to_string()),
        Fatal::Panicked => Some("its task panicked; please report this with the log above".into()),
    }
}
