//! This node's copy of the replicated state.

mod snapshots;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use skein_core::{Entry, Refusal, State};
use tokio::sync::watch;

use self::snapshots::Snapshots;
use crate::codec;
use crate::log::Growth;
use crate::store::{Store, StoreError};
use crate::types::{
    Answers, Batch, LogEntry, LogId, Membership, Snapshot, SnapshotMeta, StorageError, Types, reading, writing,
};

/// The state and how far the log has been applied to it, always changed together.
#[derive(Clone, Debug, Default)]
struct Copy {
    state: State,
    applied: Option<LogId>,
    membership: Membership,
}

/// What the seat reads and openraft's task writes.
#[derive(Debug)]
pub(crate) struct Shared {
    copy: RwLock<Copy>,
    changes: watch::Sender<u64>,
}

/// The state machine as openraft sees it.
#[derive(Debug)]
pub(crate) struct Replica {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    growth: Arc<Growth>,
}

impl Shared {
    /// Looks at the state. Nothing is applied meanwhile, so `look` should be short.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.copy().state)
    }

    /// Counts up with everything that is applied.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    // A panic while the lock is held is caught where it happens and stops the seat; readers may go on.
    fn copy(&self) -> RwLockReadGuard<'_, Copy> {
        self.copy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy_mut(&self) -> RwLockWriteGuard<'_, Copy> {
        self.copy.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Replica {
    /// Restores the last snapshot, if there is one; openraft applies the log behind it.
    pub(crate) fn open(store: &Store, growth: Arc<Growth>) -> Result<Self, StoreError> {
        let snapshots = Arc::new(Snapshots::open(store, Arc::clone(&growth))?);
        let copy = match snapshots.restore()? {
            Some((meta, state)) => Copy { state, applied: meta.last_log_id, membership: meta.last_membership },
            None => Copy::default(),
        };
        let shared = Arc::new(Shared { copy: RwLock::new(copy), changes: watch::Sender::new(0) });
        Ok(Self { shared, snapshots, growth })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The last entry that the state holds, and who votes and learns by its account.
    pub(crate) fn applied(&self) -> (Option<LogId>, Membership) {
        let copy = self.shared.copy();
        (copy.applied, copy.membership.clone())
    }

    /// Applies entries of the log, those that the state holds already aside. For a replica that nobody runs.
    pub(crate) fn catch_up(&self, entries: Vec<LogEntry>) -> Result<(), LogId> {
        let mut copy = self.shared.copy_mut();
        let applied = copy.applied;
        for entry in entries.into_iter().filter(|entry| applied < Some(entry.log_id)) {
            let _answer = copy.apply(entry)?;
        }
        Ok(())
    }

    /// Applies one more entry and writes the whole down as a snapshot, under another membership. For a replica that nobody runs.
    pub(crate) async fn go_on(&self, id: LogId, last: Entry, membership: Membership) -> Result<(), GoOnError> {
        let (meta, data) = {
            let mut copy = self.shared.copy_mut();
            let last = LogEntry { log_id: id, payload: EntryPayload::Normal(Batch(vec![last])) };
            let answers = copy.apply(last).map_err(GoOnError::Panicked)?;
            answers.0.into_iter().try_for_each(|answer| answer.map(drop)).map_err(GoOnError::Refused)?;
            copy.membership = membership.clone();
            let snapshot_id = format!("{}-{}", id.leader_id.term, id.index);
            (
                SnapshotMeta { last_log_id: Some(id), last_membership: membership, snapshot_id },
                codec::encode(&copy.state),
            )
        };
        self.snapshots.save(&meta, &data, self.growth.uncovered()).await.map_err(GoOnError::Store)
    }
}

/// Why a replica does not go on.
#[derive(Debug)]
pub(crate) enum GoOnError {
    Panicked(LogId),
    Refused(Refusal),
    Store(StoreError),
}

impl Copy {
    /// The error is the entry whose application panicked. Left alone, the panic would end openraft's task without a word,
    /// and the seat would wait for ever.
    fn apply(&mut self, entry: LogEntry) -> Result<Answers, LogId> {
        let id = entry.log_id;
        let answers = match entry.payload {
            EntryPayload::Blank => Answers::default(),
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(id), membership);
                Answers::default()
            }
            EntryPayload::Normal(batch) => {
                let apply = || batch.0.iter().map(|entry| skein_core::apply(&mut self.state, entry)).collect();
                Answers(catch_unwind(AssertUnwindSafe(apply)).map_err(|_| id)?)
            }
        };
        self.applied = Some(id);
        Ok(answers)
    }
}

fn panicked(id: LogId) -> StorageError {
    let why = format!("applying entry {} panicked; please report this with the log above", id.index);
    StorageIOError::apply(id, AnyError::error(why)).into()
}

impl RaftStateMachine<Types> for Replica {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let copy = self.shared.copy();
        Ok((copy.applied, copy.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let answers: Result<Vec<Answers>, LogId> = {
            let mut copy = self.shared.copy_mut();
            entries.into_iter().map(|entry| copy.apply(entry)).collect()
        };
        self.shared.changed();
        answers.map_err(panicked)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (shared, snapshots) = (Arc::clone(&self.shared), Arc::clone(&self.snapshots));
        Builder { shared, snapshots, growth: Arc::clone(&self.growth) }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let data = snapshot.into_inner();
        let state = codec::decode(&data)
            .map_err(|error| StorageIOError::read_snapshot(Some(meta.signature()), AnyError::new(&error)))?;
        // On the disk first: openraft drops the log that led here as soon as this returns.
        self.snapshots.save(meta, &data, self.growth.uncovered()).await.map_err(|error| writing(&error))?;
        let copy = Copy { state, applied: meta.last_log_id, membership: meta.last_membership.clone() };
        *self.shared.copy_mut() = copy;
        self.shared.changed();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let current = self.snapshots.current().map_err(|error| reading(&error))?;
        Ok(current.map(|(meta, data)| Snapshot { meta, snapshot: Box::new(Cursor::new(data)) }))
    }
}

/// Makes a snapshot while the replica goes on.
#[derive(Debug)]
pub(crate) struct Builder {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    growth: Arc<Growth>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let uncovered = self.growth.uncovered();
        // Encoding takes longer than cloning (71 and 46 ms for 50 MB), and nothing is applied while the state is looked at.
        // Neither may hold up the tasks that share this thread.
        let shared = Arc::clone(&self.shared);
        let encoded = tokio::task::spawn_blocking(move || {
            let copy = shared.copy().clone();
            (copy.applied, copy.membership, codec::encode(&copy.state))
        });
        let (applied, last_membership, data) =
            encoded.await.map_err(|error| StorageIOError::write_snapshot(None, AnyError::error(error)))?;
        let snapshot_id = applied.map_or_else(|| "0".into(), |id| format!("{}-{}", id.leader_id.term, id.index));
        let meta = SnapshotMeta { last_log_id: applied, last_membership, snapshot_id };
        self.snapshots.save(&meta, &data, uncovered).await.map_err(|error| writing(&error))?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(data)) })
    }
}
