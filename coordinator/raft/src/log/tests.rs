use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite, log_id};
use skein_core::command::{Command, Entry};
use skein_core::{MeshId, Millis};
use tempfile::TempDir;

use super::{Growth, Log};
use crate::replica::Replica;
use crate::store::{Store, StoreError};
use crate::types::{Batch, LogEntry, StorageError, Types};

struct Builder;

impl StoreBuilder<Types, Log, Replica, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Replica), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let growth = Arc::new(Growth::new(u64::MAX));
        let (log, replica) = (open(&store).unwrap(), Replica::open(&store, growth).unwrap());
        Ok((directory, log, replica))
    }
}

fn open(store: &Store) -> Result<Log, StoreError> {
    Log::open(store, Arc::new(Growth::new(u64::MAX)))
}

#[test]
fn openraft_s_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}

fn entry(index: u64) -> LogEntry {
    let entry = Entry { at: Millis(index), command: Command::Found { mesh: MeshId(index) } };
    LogEntry { log_id: log_id(1, 0, index), payload: openraft::EntryPayload::Normal(Batch(vec![entry])) }
}

async fn log_of(entries: impl Iterator<Item = u64>) -> (TempDir, Store, Log) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    let log = open(&store).unwrap();
    for index in entries {
        log.entries.0.put(index, &entry(index)).unwrap();
    }
    (directory, store, log)
}

#[tokio::test]
async fn a_hole_stops_the_start() {
    let (_directory, store, log) = log_of(3..9).await;
    assert!(open(&store).is_ok());
    log.entries.0.remove(5).unwrap();
    let error = open(&store).unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { table: "log", key: 5, .. }), "{error}");
}

#[tokio::test]
async fn an_entry_in_the_wrong_place_stops_the_start() {
    let (_directory, store, log) = log_of(3..9).await;
    log.entries.0.put(9, &entry(8)).unwrap();
    let error = open(&store).unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { table: "log", key: 9, .. }), "{error}");
}

#[tokio::test]
async fn a_purge_that_a_crash_cut_short_is_finished() {
    let (_directory, store, log) = log_of(1..9).await;
    log.meta.put(super::meta::PURGED, &log_id::<u64>(1, 0, 4)).unwrap();
    log.entries.0.remove(1).unwrap();
    let log = open(&store).unwrap();
    let kept: Vec<u64> = log.entries.0.keys(..).map(Result::unwrap).collect();
    assert_eq!(kept, [5, 6, 7, 8]);
}

#[tokio::test]
async fn a_batch_for_a_follower_is_bounded_in_bytes() {
    let (_directory, _store, log) = log_of(0..100).await;
    let some = log.entries.read(0..100, 1_000).unwrap();
    assert!(some.len() > 1 && some.len() < 100, "{} entries", some.len());
    assert_eq!(log.entries.read(7..100, 1).unwrap(), [entry(7)], "one entry always goes");
    assert_eq!(log.entries.read(10..20, usize::MAX).unwrap().len(), 10);
}

#[tokio::test]
async fn what_is_kept_is_bounded_in_number_and_in_bytes() {
    let (_directory, _store, log) = log_of(10..100).await;
    assert_eq!(log.entries.before(50, 5, usize::MAX).unwrap(), Some(45), "46 to 50 are kept");
    assert_eq!(log.entries.before(50, 1000, usize::MAX).unwrap(), None, "there are no more");
    let some = log.entries.before(50, 1000, 300).unwrap().unwrap();
    assert!(some > 10 && some < 50, "{some}");
}
