//! Makes snapshots when the log has grown enough, and drops the log that they cover.

use std::sync::Arc;

use crate::log::{Entries, Growth};
use crate::types::{LogId, Raft};

/// How many bytes of log are kept behind a snapshot, so that a node that is a little behind needs no snapshot: some seconds
/// of a busy mesh, and little beside the 4 MiB of log that lead to one.
const KEEP_BYTES_MAX: usize = 1024 * 1024;

/// Follows the log until the seat is closed. openraft's own policies count entries, and here one entry may hold 1 or 4096
/// commands.
pub(super) async fn run(raft: Raft, growth: Arc<Growth>, entries: Entries, keep_entries: u64) {
    let mut metrics = raft.metrics();
    let mut purged_behind = None;
    loop {
        tokio::select! {
            () = growth.due() => {
                if raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            changed = metrics.changed() => {
                let snapshot = metrics.borrow_and_update().snapshot;
                if changed.is_err() {
                    return;
                }
                if snapshot > purged_behind {
                    purged_behind = snapshot;
                    growth.taken();
                    if purge(&raft, &entries, snapshot, keep_entries).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn purge(
    raft: &Raft,
    entries: &Entries,
    snapshot: Option<LogId>,
    keep_entries: u64,
) -> Result<(), crate::types::Fatal> {
    let Some(snapshot) = snapshot else { return Ok(()) };
    match entries.before(snapshot.index, keep_entries, KEEP_BYTES_MAX) {
        Ok(Some(upto)) => raft.trigger().purge_log(upto).await,
        Ok(None) => Ok(()),
        Err(error) => {
            // The next snapshot brings the next try; a disk that fails stops the seat where it is written to.
            tracing::warn!(%error, "the old log was not dropped");
            Ok(())
        }
    }
}
