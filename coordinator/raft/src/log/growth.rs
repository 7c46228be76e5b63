//! How much log there is since the last snapshot, and when there is enough for another.
//!
//! The naive way is a snapshot after so many entries. But a snapshot writes the whole state: of a large one it would write
//! a hundred times what the entries brought. So the next one is due when the log has grown by as many bytes as the last
//! one has: what snapshots write is then never more than what the log writes, and the log is never much longer than the
//! state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// The account of one seat.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Below so many bytes of log no snapshot is worth its trouble.
    bytes_min: u64,
    /// Bytes of log that no snapshot covers. After a start, what is kept behind the snapshot counts once more.
    uncovered: AtomicU64,
    /// Bytes of the last snapshot.
    snapshot: AtomicU64,
    asked: AtomicBool,
    due: Notify,
}

impl Growth {
    pub(crate) fn new(bytes_min: u64) -> Self {
        Self {
            bytes_min,
            uncovered: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            due: Notify::new(),
        }
    }

    /// The log has grown.
    pub(crate) fn add(&self, bytes: usize) {
        self.uncovered.fetch_add(bytes as u64, Ordering::Relaxed);
        self.ask();
    }

    /// What a snapshot that is made of the state of now will cover.
    pub(crate) fn uncovered(&self) -> u64 {
        self.uncovered.load(Ordering::Relaxed)
    }

    /// A snapshot of so many bytes is on the disk, and covers so many of the log.
    pub(crate) fn covered(&self, log_bytes: u64, snapshot_bytes: usize) {
        self.snapshot.store(snapshot_bytes as u64, Ordering::Relaxed);
        let left = |uncovered: u64| Some(uncovered.saturating_sub(log_bytes));
        let _ = self.uncovered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        self.asked.store(false, Ordering::Relaxed);
        self.ask();
    }

    /// openraft has taken the last snapshot in: what was asked of it before that, while it was still busy, it has not heard.
    pub(crate) fn taken(&self) {
        self.asked.store(false, Ordering::Relaxed);
        self.ask();
    }

    /// Returns when a snapshot is due; once for each.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    fn ask(&self) {
        let enough = self.bytes_min.max(self.snapshot.load(Ordering::Relaxed));
        if self.uncovered() > enough && !self.asked.swap(true, Ordering::Relaxed) {
            self.due.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    async fn is_due(growth: &Growth) -> bool {
        timeout(Duration::ZERO, growth.due()).await.is_ok()
    }

    #[tokio::test]
    async fn a_snapshot_is_due_when_the_log_has_outgrown_the_last_one() {
        let growth = Growth::new(100);
        growth.add(100);
        assert!(!is_due(&growth).await);
        growth.add(1);
        assert!(is_due(&growth).await);
        growth.add(500);
        assert!(!is_due(&growth).await, "it was asked for already");

        growth.covered(101, 400);
        assert!(is_due(&growth).await, "what came meanwhile is more than enough");
        growth.covered(500, 400);
        growth.add(400);
        assert!(!is_due(&growth).await);
        growth.add(1);
        assert!(is_due(&growth).await);
    }
}
