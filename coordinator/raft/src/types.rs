//! What openraft is instantiated with.

use std::io::Cursor;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{AnyError, EmptyNode, ErrorSubject, ErrorVerb, StorageIOError};
use skein_core::{Event, Refusal};

use crate::store::StoreError;

openraft::declare_raft_types!(
    /// Entries of the core go in, its events come out. Nodes have no address here: gossip knows where they are.
    pub(crate) Types:
        D = skein_core::Entry,
        R = Result<Vec<Event>, Refusal>,
        NodeId = u64,
        Node = EmptyNode,
        SnapshotData = Cursor<Vec<u8>>,
);

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
