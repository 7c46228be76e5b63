//! The log and the vote, on disk.

mod check;
mod growth;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use growth::Growth;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use skein_core::NodeId;

use crate::codec;
use crate::store::{Store, StoreError, Table};
use crate::types::{LogEntry, LogId, StorageError, Types, Vote, reading, writing};

/// The records of the table `meta`.
pub(crate) mod meta {
    pub(crate) const VOTE: u64 = 0;
    pub(crate) const COMMITTED: u64 = 1;
    pub(crate) const PURGED: u64 = 2;
    pub(crate) const SNAPSHOT: u64 = 3;
}

/// What one call to a follower may carry: openraft gives a call one heartbeat's time, and a radio link of 10 Mbit/s takes
/// 50 ms for this. A longer entry travels alone.
const BATCH_BYTES: usize = 64 * 1024;

/// The log of this seat.
#[derive(Debug)]
pub(crate) struct Log {
    store: Store,
    entries: Entries,
    meta: Table,
    growth: Arc<Growth>,
    end: End,
}

/// The last entry of the log, for who cannot wait until openraft's task has flushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct End(Arc<Mutex<Option<LogId>>>);

impl End {
    pub(crate) fn get(&self) -> Option<LogId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, end: Option<LogId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

/// The reading half, one for each follower.
#[derive(Clone, Debug)]
pub(crate) struct Entries(Table);

impl Log {
    /// Opens the log and reads all of it once: what cannot be read is found now, and not when it is needed.
    pub(crate) fn open(store: &Store, growth: Arc<Growth>) -> Result<Self, StoreError> {
        let (entries, meta) = (Entries(store.table("log")?), store.table("meta")?);
        let log = Self { store: store.clone(), entries, meta, growth, end: End::default() };
        check::check(&log)?;
        log.end.set(log.state()?.last_log_id);
        Ok(log)
    }

    /// A leader that was restarted is none any more: openraft would let it go on in its old term, in which others may have
    /// promised it what they have taken back since. It keeps its vote, and has to be elected again.
    pub(crate) fn forget_reign(&self, node: NodeId) -> Result<(), StoreError> {
        match self.meta.get::<Vote>(meta::VOTE)? {
            Some(vote) if vote.committed && vote.leader_id.node_id == node.0 => {
                self.meta.put(meta::VOTE, &Vote { committed: false, ..vote })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn end(&self) -> End {
        self.end.clone()
    }

    /// A reader of it.
    pub(crate) fn entries(&self) -> Entries {
        self.entries.clone()
    }

    fn purged(&self) -> Result<Option<LogId>, StoreError> {
        self.meta.get(meta::PURGED)
    }

    fn state(&self) -> Result<LogState<Types>, StoreError> {
        let last_purged_log_id = self.purged()?;
        let last = self.entries.0.keys(..).next_back().transpose()?;
        let last = match last {
            Some(index) => self.entries.0.get::<LogEntry>(index)?.map(|entry| entry.log_id),
            None => None,
        };
        Ok(LogState { last_purged_log_id, last_log_id: last.or(last_purged_log_id) })
    }

    /// Every entry that is still there.
    pub(crate) fn all(&self) -> Result<Vec<LogEntry>, StoreError> {
        self.entries.read(.., usize::MAX)
    }

    /// Up to where this seat knew the log to be committed.
    pub(crate) fn committed(&self) -> Result<Option<LogId>, StoreError> {
        Ok(self.meta.get::<Option<LogId>>(meta::COMMITTED)?.flatten())
    }

    /// What this seat voted for last.
    pub(crate) fn vote(&self) -> Result<Vote, StoreError> {
        Ok(self.meta.get(meta::VOTE)?.unwrap_or_default())
    }

    /// Puts an empty log in the place of this one, as if everything up to `id` had been purged. Nothing of it counts before it is
    /// flushed; a crash half way leaves a snapshot that is ahead of the log, and the next start drops the log.
    pub(crate) fn begin_after(&self, id: &LogId, vote: &Vote) -> Result<(), StoreError> {
        self.meta.put(meta::VOTE, vote)?;
        self.meta.put(meta::COMMITTED, &Some(*id))?;
        self.purge_to(id)
    }

    /// From the end backwards, so that a crash half way leaves no hole.
    fn truncate_from(&self, index: u64) -> Result<(), StoreError> {
        for key in self.entries.0.keys(index..).rev() {
            self.entries.0.remove(key?)?;
        }
        Ok(())
    }

    /// The mark first: after a crash half way, the start finishes the job.
    fn purge_to(&self, id: &LogId) -> Result<(), StoreError> {
        self.meta.put(meta::PURGED, id)?;
        self.remove_purged(id.index)
    }

    fn remove_purged(&self, upto: u64) -> Result<(), StoreError> {
        for key in self.entries.0.keys(..=upto) {
            self.entries.0.remove(key?)?;
        }
        Ok(())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Entries;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        self.state().map_err(|error| reading(&error))
    }

    async fn get_log_reader(&mut self) -> Entries {
        self.entries.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.meta.put(meta::VOTE, vote).map_err(|error| writing(&error))?;
        self.store.flush().await.map_err(|error| writing(&error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.meta.get(meta::VOTE).map_err(|error| reading(&error))
    }

    /// Not flushed at once: a lost mark is found again with the next quorum. It only lets a node that starts without a
    /// network know how far it had come.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.meta.put(meta::COMMITTED, &committed).map_err(|error| writing(&error))?;
        self.store.flush_soon();
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self.meta.get::<Option<LogId>>(meta::COMMITTED).map_err(|error| reading(&error))?;
        Ok(committed.flatten())
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        for entry in entries {
            let body = codec::encode(&entry);
            self.entries.0.put_bytes(entry.log_id.index, &body).map_err(|error| writing(&error))?;
            self.growth.add(body.len());
            self.end.set(Some(entry.log_id));
        }
        // openraft 0.9 waits for the call and the word alike, so there is nothing to win by returning earlier.
        let result = self.store.flush().await;
        flushed.log_io_completed(result.map_err(io::Error::other));
        Ok(())
    }

    async fn truncate(&mut self, id: LogId) -> Result<(), StorageError> {
        self.truncate_from(id.index).map_err(|error| writing(&error))?;
        self.end.set(self.state().map_err(|error| reading(&error))?.last_log_id);
        self.store.flush().await.map_err(|error| writing(&error))
    }

    async fn purge(&mut self, id: LogId) -> Result<(), StorageError> {
        self.purge_to(&id).map_err(|error| writing(&error))?;
        self.end.set(self.state().map_err(|error| reading(&error))?.last_log_id);
        self.store.flush_soon();
        Ok(())
    }
}

impl Entries {
    /// The last entry that is not needed where `keep_entries` of at most `keep_bytes` in all are kept up to `index`.
    pub(crate) fn before(&self, index: u64, keep_entries: u64, keep_bytes: usize) -> Result<Option<u64>, StoreError> {
        let mut bytes = 0;
        for (kept, key) in (0..).zip(self.0.keys(..=index).rev()) {
            let key = key?;
            bytes += self.0.get_bytes(key)?.map_or(0, |body| body.len());
            if kept >= keep_entries || bytes > keep_bytes {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn read(&self, range: impl RangeBounds<u64>, bytes_max: usize) -> Result<Vec<LogEntry>, StoreError> {
        let mut out = vec![];
        let mut bytes = 0;
        for key in self.0.keys(range) {
            let key = key?;
            let Some(body) = self.0.get_bytes(key)? else { break };
            bytes += body.len();
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(codec::decode(&body).map_err(|error| self.0.unreadable(key, &error.to_string()))?);
        }
        Ok(out)
    }
}

impl RaftLogReader<Types> for Entries {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, StorageError> {
        let range: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        self.read(range, usize::MAX).map_err(|error| reading(&error))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, StorageError> {
        self.read(start..end, BATCH_BYTES).map_err(|error| reading(&error))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, StorageError> {
        self.entries.try_get_log_entries(range).await
    }
}

#[cfg(test)]
mod tests;
