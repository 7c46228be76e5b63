//! What a seat is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use skein_core::NodeId;

/// How large a piece of a snapshot is. It has [`PIECE_TIMEOUT`] to arrive.
const PIECE_BYTES: u64 = 256 * 1024;

/// How long one piece of a snapshot may take, and the last one with it the writing of the whole to a slow card.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often openraft's leader sends an empty call, and how soon it tries again what got lost. Its own beats, which keep it
/// in office, are apart from this.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a peer that cannot be reached is left alone.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// How a seat is set up.
#[derive(Clone, Debug)]
pub struct SeatConfig {
    /// Where the log is kept; nothing else may be in there.
    pub directory: PathBuf,
    /// Who this is.
    pub node: NodeId,
    /// For tests with a slow disk: each flush takes so much longer.
    pub flush_delay: Duration,
    /// The least log, in bytes, for which a snapshot is made. Where the last snapshot was larger, the log grows to its size.
    pub snapshot_bytes: u64,
    /// How many entries of the log before the snapshot are kept, so that a node a little behind needs no snapshot.
    pub keep_entries: u64,
}

impl SeatConfig {
    /// The usual settings for a local network.
    pub fn new(directory: impl Into<PathBuf>, node: NodeId) -> Self {
        Self {
            directory: directory.into(),
            node,
            flush_delay: Duration::ZERO,
            // Read and applied within a tenth of a second at a start, and written by some ten thousand changes.
            snapshot_bytes: 4 * 1024 * 1024,
            keep_entries: 500,
        }
    }

    /// openraft's own elections are off, and its lease next to nothing: see [`skein_core::election`] and
    /// [`crate::clock::Runtime`].
    pub(super) fn raft() -> Config {
        Config {
            cluster_name: "skein".into(),
            heartbeat_interval: millis(HEARTBEAT),
            enable_elect: false,
            election_timeout_min: 0,
            election_timeout_max: 1,
            install_snapshot_timeout: millis(PIECE_TIMEOUT),
            snapshot_max_chunk_size: PIECE_BYTES,
            // Both are the business of `compact`.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..Config::default()
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
