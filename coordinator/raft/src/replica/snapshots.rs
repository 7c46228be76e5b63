//! The snapshots on disk: one that counts, and while a new one is written, that one beside it.

use std::sync::Arc;

use skein_core::State;
use tokio::sync::Mutex;

use crate::codec;
use crate::log::{Growth, meta};
use crate::store::{Store, StoreError, Table};
use crate::types::SnapshotMeta;

#[derive(Debug)]
pub(super) struct Snapshots {
    store: Store,
    /// What each snapshot is of, by its number.
    about: Table,
    /// The encoded state of each, by its number.
    data: Table,
    /// Which number counts. It is written last: until then the older one does.
    meta: Table,
    /// The leader may send a snapshot while one is being made.
    writing: Mutex<()>,
    growth: Arc<Growth>,
}

impl Snapshots {
    pub(super) fn open(store: &Store, growth: Arc<Growth>) -> Result<Self, StoreError> {
        Ok(Self {
            store: store.clone(),
            about: store.table("snapshots.about")?,
            data: store.table("snapshots.data")?,
            meta: store.table("meta")?,
            writing: Mutex::new(()),
            growth,
        })
    }

    /// The snapshot that counts.
    pub(super) fn current(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, StoreError> {
        let Some(number) = self.number()? else { return Ok(None) };
        let data = self.data.get_bytes(number)?.ok_or_else(|| self.data.unreadable(number, "it is missing"))?;
        Ok(Some((self.about(number)?, data)))
    }

    /// As [`Self::current`], decoded.
    pub(super) fn restore(&self) -> Result<Option<(SnapshotMeta, State)>, StoreError> {
        let Some((meta, data)) = self.current()? else {
            return Ok(None);
        };
        let number = self.number()?.unwrap_or_default();
        self.growth.covered(0, data.len());
        let state = codec::decode(&data).map_err(|error| self.data.unreadable(number, &error.to_string()))?;
        Ok(Some((meta, state)))
    }

    /// Makes this the snapshot that counts, unless a newer one already does. It covers so many bytes of the log.
    pub(super) async fn save(&self, about: &SnapshotMeta, data: &[u8], covers: u64) -> Result<(), StoreError> {
        let _alone = self.writing.lock().await;
        let number = match self.number()? {
            Some(current) if self.about(current)?.last_log_id > about.last_log_id => {
                self.growth.covered(0, data.len());
                return Ok(());
            }
            current => current.map_or(0, |current| current + 1),
        };
        // What a crash left under this number was never counted.
        self.remove(number)?;
        self.data.put_large(&self.store, number, data).await?;
        self.about.put(number, about)?;
        self.meta.put(meta::SNAPSHOT, &number)?;
        self.store.flush().await?;
        for old in self.data.keys(..number) {
            self.remove(old?)?;
        }
        self.store.flush_soon();
        self.growth.covered(covers, data.len());
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        self.about.remove(number)?;
        self.data.remove(number)
    }

    fn number(&self) -> Result<Option<u64>, StoreError> {
        self.meta.get(meta::SNAPSHOT)
    }

    fn about(&self, number: u64) -> Result<SnapshotMeta, StoreError> {
        self.about.get(number)?.ok_or_else(|| self.about.unreadable(number, "it is missing"))
    }
}
