//! What a seat needs of the network.

use std::future::Future;

use serde::{Deserialize, Serialize};
use skein_core::NodeId;

/// Which of the calls a message is. It travels beside the body, so that the link can bound and order them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// New entries, or a heartbeat.
    Append,
    /// A candidate asks for a vote.
    Vote,
    /// A piece of a snapshot, for a seat that is too far behind.
    InstallSnapshot,
    /// The leader is there.
    Beat,
    /// Would you vote for me?
    Ask,
    /// The leader asks to be followed by this seat.
    TakeOver,
}

/// Carries calls to other seats.
///
/// The body and the answer are opaque; the other side gives the body to [`Seat::receive`](crate::Seat::receive) and sends
/// back what that returns. A call may be dropped half way: the seat gives each its own time limit. A body has
/// 2 MiB at most.
pub trait Transport: Send + Sync + 'static {
    /// Brings a call to a seat and its answer back.
    fn call(
        &self,
        to: NodeId,
        call: Call,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

/// Why a call had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(
    /// For people.
    pub String,
);
