//! What a seat is told when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use skein_core::NodeId;

use super::SeatError;

/// How large a piece of a snapshot is. It has [`PIECE_TIMEOUT`] to arrive.
const PIECE_BYTES: u64 = 256 * 1024;

/// How long one piece of a snapshot may take, and the last one with it the writing of the whole to a slow card.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);

/// How a seat is set up.
#[derive(Clone, Debug)]
pub struct SeatConfig {
    /// Where the log is kept; nothing else may be in there.
    pub directory: PathBuf,
    /// Who this is.
    pub node: NodeId,
    /// How often a leader says that it is there. openraft looks at its timers every one and a half of these.
    pub heartbeat: Duration,
    /// A follower that hears no leader for the longer of these times stands for election after a further random time
    /// between the two.
    pub election_timeout: (Duration, Duration),
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
            // An idle seat takes 0.2 % of a core (0.13 % at 150 ms, 0.03 % at 1 s), and three may be lost before
            // anybody stands for election.
            heartbeat: Duration::from_millis(100),
            // A dead leader is replaced after 0.7 to 1.05 s. The disk's flush has to fit in, as openraft 0.9 sends no
            // heartbeat while it waits for one.
            election_timeout: (Duration::from_millis(250), Duration::from_millis(450)),
            // Read and applied within a tenth of a second at a start, and written by some ten thousand changes.
            snapshot_bytes: 4 * 1024 * 1024,
            keep_entries: 500,
        }
    }

    pub(super) fn raft(&self) -> Result<Config, SeatError> {
        let config = Config {
            cluster_name: "skein".into(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_timeout.0),
            election_timeout_max: millis(self.election_timeout.1),
            install_snapshot_timeout: millis(PIECE_TIMEOUT),
            snapshot_max_chunk_size: PIECE_BYTES,
            // Both are the business of `compact`.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            ..Config::default()
        };
        config.validate().map_err(|error| SeatError::Config(error.to_string()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
