//! Who votes and who learns, changed by the leader.

use std::collections::BTreeSet;
use std::future::Future;

use openraft::EmptyNode;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use skein_core::NodeId;

use super::{ChangeError, Role, Seat, numbers};

type WriteError = RaftError<u64, ClientWriteError<u64, EmptyNode>>;

impl Seat {
    /// Gives a node a copy of the log without a vote. It returns when that is agreed, not when the node has caught up:
    /// [`Role::matched`] tells. Allowed on the leader; for a member it changes nothing.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), ChangeError> {
        let role = self.role();
        if role.voters.contains(&node) || role.learners.contains(&node) {
            return Ok(());
        }
        let raft = self.0.raft.clone();
        to_the_end(async move { raft.add_learner(node.0, EmptyNode::new(), false).await.map(|_| ()) }).await?;
        self.until_shown(|role| role.voters.contains(&node) || role.learners.contains(&node)).await;
        Ok(())
    }

    /// Makes these the voters and everybody else a learner. Allowed on the leader, for nodes that are learners and have
    /// caught up: a voter that is not there counts towards a majority all the same, and a mesh of one that takes in
    /// a dead second voter would never commit again.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let role = self.role();
        if role.voters == voters && !role.changing {
            return Ok(());
        }
        self.check_voters(&role, &voters)?;
        let raft = self.0.raft.clone();
        let wanted = numbers(&voters);
        to_the_end(async move { raft.change_membership(wanted, true).await.map(|_| ()) }).await?;
        self.until_shown(|role| role.voters == voters && !role.changing).await;
        Ok(())
    }

    /// openraft answers a change a moment before it shows it: whoever asks again right after the answer must find it done.
    /// Ends at once where this node leads no longer, as what it is shown then is another's to say.
    async fn until_shown(&self, is_shown: impl Fn(&Role) -> bool) {
        let shown = |role: &Role| is_shown(role) || !role.is_leader || role.failure.is_some();
        // An error says that the seat was closed meanwhile; the change is made all the same.
        drop(self.roles().wait_for(shown).await);
    }

    fn check_voters(&self, role: &Role, voters: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
        if !role.is_leader {
            return Err(ChangeError::NotLeader { leader: role.leader.filter(|leader| *leader != role.node) });
        }
        for node in voters.difference(&role.voters) {
            if !role.learners.contains(node) {
                return Err(ChangeError::NoLearner(*node));
            }
            let lag = role.matched.get(node).map(|index| role.last_log.unwrap_or(0).saturating_sub(*index));
            if lag.is_none_or(|lag| lag > self.0.lag_max) {
                return Err(ChangeError::Behind(*node));
            }
        }
        Ok(())
    }
}

/// A change of voters is two steps. The naive way is to await them here, but a caller that gives up between the two would
/// leave the mesh with both sets of voters: so it runs in a task of its own.
async fn to_the_end(change: impl Future<Output = Result<(), WriteError>> + Send + 'static) -> Result<(), ChangeError> {
    match tokio::spawn(change).await {
        Ok(done) => done.map_err(explain),
        Err(lost) => Err(ChangeError::Stopped(lost.to_string())),
    }
}

fn explain(error: WriteError) -> ChangeError {
    match error {
        RaftError::Fatal(fatal) => ChangeError::Stopped(fatal.to_string()),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            ChangeError::NotLeader { leader: to.leader_id.map(NodeId) }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) => ChangeError::InProgress,
            ChangeMembershipError::EmptyMembership(_) => ChangeError::NoVoters,
            ChangeMembershipError::LearnerNotFound(missing) => ChangeError::NoLearner(NodeId(missing.node_id)),
        },
    }
}
