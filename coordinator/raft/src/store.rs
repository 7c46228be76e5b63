//! The one place that knows the database: sled, under one directory, holding checked records.
//!
//! sled alone does not keep the promises made here, so this module adds what is missing:
//! - its `flush` on Linux is `sync_file_range`, which neither empties the disk's own cache nor writes the file's length;
//!   [`Store::flush`] ends with an fdatasync of the same file;
//! - values that make a tree node larger than a quarter segment go to side files that are never synced; records are cut
//!   into pieces so small that this cannot happen ([`record`]);
//! - its checksums end where a page is read; a record brings its own to the decoder.

mod error;
mod open;
mod pace;
mod record;
mod table;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use error::StoreError;
pub(crate) use pace::Pace;
pub(crate) use table::Table;

/// How long an unhurried flush waits for company. Short, as until then a killed process loses what waits; long enough
/// that a stream of commits costs two more flushes a second and not one each.
const FLUSH_SOON: Duration = Duration::from_millis(500);

/// The database of one state directory; clones share it, and the last one to go closes it.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: sled::Db,
    /// The file that sled writes, opened a second time, as sled does not lend its own.
    file: File,
    directory: PathBuf,
    flush_waits: AtomicBool,
    pace: Arc<Pace>,
    /// Added to each flush, where a slow disk is wanted.
    flush_delay: Duration,
}

impl Store {
    /// As [`Self::open_slow`], on a disk as it is.
    pub(crate) async fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_slow(directory, Duration::ZERO).await
    }

    /// Opens the database under `directory`, making both where they are missing. Each flush takes so much longer than the disk
    /// needs: to see what a slow one does.
    pub(crate) async fn open_slow(directory: &Path, flush_delay: Duration) -> Result<Self, StoreError> {
        let (database, file) = open::open(directory).await?;
        let directory = directory.to_path_buf();
        let (flush_waits, pace) = (AtomicBool::new(false), Arc::default());
        Ok(Self(Arc::new(Inner { database, file, directory, flush_waits, pace, flush_delay })))
    }

    /// How long flushes take.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.0.pace)
    }

    /// One named table.
    pub(crate) fn table(&self, name: &'static str) -> Result<Table, StoreError> {
        let tree = self.0.database.open_tree(name).map_err(|error| StoreError::sled(&self.0.directory, &error))?;
        Ok(Table::new(tree, name, &self.0.directory))
    }

    /// Returns when everything written so far is on the disk.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        // Both calls block for as long as the disk takes.
        let number = inner.pace.begin();
        let flushed = tokio::task::spawn_blocking(move || {
            let flushed = inner.flush();
            inner.pace.end(number);
            flushed
        })
        .await;
        flushed.unwrap_or_else(|lost| Err(StoreError::io(&self.0.directory, &lost)))
    }

    /// Flushes within half a second, for what may be lost but should not be for long.
    pub(crate) fn flush_soon(&self) {
        if self.0.flush_waits.swap(true, Ordering::Relaxed) {
            return;
        }
        tokio::spawn(flush_later(Arc::downgrade(&self.0)));
    }
}

/// Holds the store only while it flushes, so that closing need not wait for it.
async fn flush_later(store: Weak<Inner>) {
    tokio::time::sleep(FLUSH_SOON).await;
    let Some(inner) = store.upgrade() else { return };
    inner.flush_waits.store(false, Ordering::Relaxed);
    if let Err(error) = Store(inner).flush().await {
        // The next write that somebody waits for meets the same error and reports it.
        tracing::warn!(%error, "a background flush failed");
    }
}

impl Inner {
    fn flush(&self) -> Result<(), StoreError> {
        self.database.flush().map_err(|error| StoreError::sled(&self.directory, &error))?;
        std::thread::sleep(self.flush_delay);
        self.file.sync_data().map_err(|error| StoreError::io(&self.directory, &error))
    }
}

#[cfg(test)]
mod tests;
