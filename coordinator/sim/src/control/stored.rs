//! What a replica keeps: snapshots in the form in which they are stored and sent, and the commands after them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_core::{Entry, State, apply};

use super::World;

/// How many of a hundred entries are followed by a snapshot.
const SNAPSHOT_PERCENT: u64 = 1;

/// The state after so many entries.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) upto: usize,
    bytes: Vec<u8>,
}

impl World {
    /// Now and then somebody takes a snapshot.
    pub(super) fn snapshot_now_and_then(&mut self) {
        if self.chance.percent(SNAPSHOT_PERCENT) {
            self.take_snapshot();
        }
    }

    pub(super) fn take_snapshot(&mut self) {
        self.chance.count("snapshot_taken");
        self.snapshot = Some(Snapshot { upto: self.log.len(), bytes: encode(&self.state) });
    }

    /// The state after so many entries, from the last snapshot and the commands since; none where that is newer.
    pub(super) fn rebuilt(&mut self, upto: usize) -> Option<State> {
        let snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.upto <= upto)?;
        let mut state: State = decode(&snapshot.bytes);
        for logged in &self.log[snapshot.upto..upto] {
            let entry: Entry = decode(&encode(&logged.entry));
            // What it says was compared when the replicas applied it first.
            drop(apply(&mut state, &entry));
        }
        self.chance.count("state_rebuilt");
        Some(state)
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_cbor::to_vec(value).expect("what the log and the store hold can be written")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_cbor::from_slice(bytes).expect("what was written can be read")
}
