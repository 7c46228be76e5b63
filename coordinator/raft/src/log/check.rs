//! What is looked at before a log may be used.

use super::{Log, meta};
use crate::codec;
use crate::store::StoreError;
use crate::types::{LogEntry, LogId, Vote};

/// Reads every record. An entry that is missing, moved or unreadable stops the start: a seat that goes on without it
/// would take back what it has acknowledged.
pub(super) fn check(log: &Log) -> Result<(), StoreError> {
    log.meta.get::<Vote>(meta::VOTE)?;
    log.meta.get::<Option<LogId>>(meta::COMMITTED)?;
    if let Some(purged) = log.purged()? {
        log.remove_purged(purged.index)?;
    }
    let mut previous: Option<u64> = None;
    for index in log.entries.0.keys(..) {
        let index = index?;
        let body = log.entries.0.get_bytes(index)?;
        let body = body.ok_or_else(|| log.entries.0.unreadable(index, "it went away while it was read"))?;
        log.growth.add(body.len());
        let entry: LogEntry =
            codec::decode(&body).map_err(|error| log.entries.0.unreadable(index, &error.to_string()))?;
        if entry.log_id.index != index {
            return Err(log.entries.0.unreadable(index, "it is the entry of another index"));
        }
        if let Some(previous) = previous
            && index != previous + 1
        {
            return Err(log.entries.0.unreadable(previous + 1, "it is missing"));
        }
        previous = Some(index);
    }
    Ok(())
}
