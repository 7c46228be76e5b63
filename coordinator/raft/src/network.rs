//! openraft's network, over the transport that the agent lends.

mod incoming;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use incoming::{Incoming, Taken};
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{EmptyNode, RaftNetwork, RaftNetworkFactory};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skein_core::NodeId;
use skein_core::election::Release;

use crate::codec::{self, Bytes};
use crate::transport::{Call, Transport};
use crate::types::{SnapshotMeta, Types, Vote};

/// One piece of a snapshot on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    vote: Vote,
    meta: SnapshotMeta,
    offset: u64,
    data: Bytes,
    done: bool,
}

impl Piece {
    pub(crate) fn vote(&self) -> Vote {
        self.vote
    }
}

/// A request for a vote on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) request: VoteRequest<u64>,
    pub(crate) release: Option<Release>,
}

/// What to show with this node's next requests for votes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Released(Arc<Mutex<Option<Release>>>);

impl Released {
    pub(crate) fn set(&self, release: Option<Release>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = release;
    }

    fn get(&self) -> Option<Release> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a piece.
pub(crate) type PieceAnswer = Result<Vote, InstallSnapshotError>;

/// Makes the client of each peer.
#[derive(Debug)]
pub(crate) struct Network<T> {
    transport: Arc<T>,
    retry: Duration,
    released: Released,
}

impl<T: Transport> Network<T> {
    /// `retry` is how long a peer that cannot be reached is left alone.
    pub(crate) fn new(transport: Arc<T>, retry: Duration, released: Released) -> Self {
        Self { transport, retry, released }
    }
}

impl<T: Transport> RaftNetworkFactory<Types> for Network<T> {
    type Network = Peer<T>;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer<T> {
        let (transport, released) = (Arc::clone(&self.transport), self.released.clone());
        Peer { transport, retry: self.retry, released, target }
    }
}

/// The way to one peer. openraft puts a time limit around every call.
#[derive(Debug)]
pub(crate) struct Peer<T> {
    transport: Arc<T>,
    retry: Duration,
    released: Released,
    target: u64,
}

type CallError<E> = RPCError<u64, EmptyNode, RaftError<u64, E>>;

impl<T: Transport> Peer<T> {
    async fn call<Q, A, E>(&self, call: Call, request: &Q) -> Result<A, CallError<E>>
    where
        Q: Serialize,
        A: DeserializeOwned,
        E: std::error::Error,
    {
        let body = codec::encode(request);
        let answer = self.transport.call(NodeId(self.target), call, body).await;
        let answer = answer.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        codec::decode(&answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }
}

impl<T: Transport> RaftNetwork<Types> for Peer<T> {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, CallError<openraft::error::Infallible>> {
        self.call(Call::Append, &request).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<InstallSnapshotError>> {
        let InstallSnapshotRequest { vote, meta, offset, data, done } = request;
        let piece = Piece { vote, meta, offset, data: Bytes(data), done };
        match self.call(Call::InstallSnapshot, &piece).await? {
            Ok(vote) => Ok(InstallSnapshotResponse { vote }),
            Err(error) => Err(RPCError::RemoteError(RemoteError::new(self.target, RaftError::APIError(error)))),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, CallError<openraft::error::Infallible>> {
        self.call(Call::Vote, &Ballot { request, release: self.released.get() }).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.retry))
    }
}

/// Whether entries follow one another as openraft takes for granted.
pub(crate) fn is_in_order(request: &AppendEntriesRequest<Types>) -> bool {
    let mut previous = request.prev_log_id;
    request.entries.iter().all(|entry| {
        let next = previous.map_or(0, |id| id.index.saturating_add(1));
        let follows = entry.log_id.index == next && previous.is_none_or(|id| id.leader_id <= entry.log_id.leader_id);
        previous = Some(entry.log_id);
        follows
    })
}
