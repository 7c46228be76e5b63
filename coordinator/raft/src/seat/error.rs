//! Why a seat says no.

use openraft::error::{CheckIsLeaderError, RaftError};
use skein_core::NodeId;

use crate::codec::CodecError;
use crate::store::StoreError;
use crate::types::Fatal;

/// Why a seat cannot be opened, founded or reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeatError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The seat belongs to a mesh.
    #[error("this node belongs to a mesh already; to found a new one, give it an empty state directory")]
    AlreadyMember,
    /// A message that is none.
    #[error("a coordinator message is {0}")]
    Garbage(String),
    /// The seat has stopped, because it was closed or because its disk failed.
    #[error("the coordinator's seat on this node has stopped: {0}")]
    Stopped(String),
}

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none does.
    #[error("this node does not lead the mesh{}", .leader.map(|leader| format!("; node {leader} does")).unwrap_or_default())]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The leader cannot reach a majority.
    #[error("a majority of the coordinator's voters cannot be reached")]
    NoQuorum,
    /// The entry is over its bound.
    #[error("an entry of {bytes} bytes is too large; the most is {bytes_max}")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
    /// The seat has stopped.
    #[error("the coordinator's seat on this node has stopped: {0}")]
    Stopped(String),
}

/// Why the voters or learners were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another node leads, or none does.
    #[error("this node does not lead the mesh{}", .leader.map(|leader| format!("; node {leader} does")).unwrap_or_default())]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// A change is under way; wait for it.
    #[error("another change of the coordinator's voters is under way")]
    InProgress,
    /// It must be a learner first.
    #[error("node {0} is no learner yet")]
    NoLearner(NodeId),
    /// As a voter it would count towards a majority that it cannot serve yet.
    #[error("node {0} has not caught up with the log yet")]
    Behind(NodeId),
    /// Only a voter can lead.
    #[error("node {0} is no voter of the coordinator")]
    NoVoter(NodeId),
    /// It was asked to lead and did not in time.
    #[error("node {0} did not take over; this node leads on")]
    NotTaken(NodeId),
    /// A mesh needs a voter.
    #[error("there must be at least one voter")]
    NoVoters,
    /// The seat has stopped.
    #[error("the coordinator's seat on this node has stopped: {0}")]
    Stopped(String),
}

impl From<Fatal> for SeatError {
    fn from(fatal: Fatal) -> Self {
        Self::Stopped(fatal.to_string())
    }
}

impl From<CodecError> for SeatError {
    fn from(error: CodecError) -> Self {
        Self::Garbage(error.to_string())
    }
}

impl<N: openraft::Node> From<RaftError<u64, CheckIsLeaderError<u64, N>>> for ProposeError {
    fn from(error: RaftError<u64, CheckIsLeaderError<u64, N>>) -> Self {
        match error {
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to)) => {
                Self::NotLeader { leader: to.leader_id.map(NodeId) }
            }
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => Self::NoQuorum,
            RaftError::Fatal(fatal) => Self::Stopped(fatal.to_string()),
        }
    }
}
