//! What openraft is instantiated with.

use std::io::Cursor;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{AnyError, EmptyNode, ErrorSubject, ErrorVerb, StorageIOError};
use serde::{Deserialize, Serialize};
use skein_core::{Entry, Event, Refusal};

use crate::store::StoreError;

openraft::declare_raft_types!(
    /// Entries of the core go in, many at once; what it says to each comes out. Nodes have no address here: gossip knows
    /// where they are.
    pub(crate) Types:
        D = Batch,
        R = Answers,
        NodeId = u64,
        Node = EmptyNode,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = crate::clock::Runtime,
);

/// Entries of the core that share one entry of the log, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batch(pub(crate) Vec<Entry>);

/// What the core says to an entry.
pub(crate) type Answer = Result<Vec<Event>, Refusal>;

/// What the core says to each entry of a batch, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Answers(pub(crate) Vec<Answer>);

pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type LogEntry = openraft::Entry<Types>;
pub(crate) type Membership = openraft::StoredMembership<u64, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type Fatal = openraft::error::Fatal<u64>;
pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Metrics = openraft::RaftMetrics<u64, EmptyNode>;

/// Tells openraft that the disk failed, which stops the seat.
pub(crate) fn reading(error: &StoreError) -> StorageError {
    StorageIOError::new(ErrorSubject::Store, ErrorVerb::Read, AnyError::error(error)).into()
}

/// As [`reading`].
pub(crate) fn writing(error: &StoreError) -> StorageError {
    StorageIOError::new(ErrorSubject::Store, ErrorVerb::Write, AnyError::error(error)).into()
}

/// Both halves of the storage are checked here to be what openraft asks for.
const _: () = {
    const fn is_log<T: RaftLogStorage<Types>>() {}
    const fn is_machine<T: RaftStateMachine<Types>>() {}
    is_log::<crate::log::Log>();
    is_machine::<crate::replica::Replica>();
};
