//! A snapshot that arrives in pieces.
//!
//! openraft brings a receiver of its own. It believes any offset, so that one bad message could make it allocate without
//! bound, and it hands the result to the state machine unread, where garbage would stop the seat. This one believes
//! nothing until the whole decodes.

use std::io::Cursor;

use openraft::SnapshotSegmentId;
use openraft::error::{InstallSnapshotError, SnapshotMismatch};
use skein_core::State;

use super::Piece;
use crate::codec;
use crate::types::{Snapshot, Vote};

/// More than any state that fits the nodes this runs on, and little enough to hold in memory while it arrives.
const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The one snapshot that is arriving, if any. A new one takes the place of one that was left half way.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Option<Partial>);

#[derive(Debug)]
struct Partial {
    id: String,
    vote: Vote,
    data: Vec<u8>,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is kept; more are to come.
    Partly,
    /// It was the last, and the snapshot makes sense.
    Whole(Snapshot),
    /// It does not fit what is here: the sender begins again.
    Mismatch(InstallSnapshotError),
    /// It, or the whole, is nonsense.
    Garbage(String),
}

impl Incoming {
    pub(crate) fn take(&mut self, piece: Piece) -> Taken {
        let Piece { vote, meta, offset, data, done } = piece;
        let id = &meta.snapshot_id;
        if offset == 0 {
            self.0 = Some(Partial { id: id.clone(), vote, data: Vec::new() });
        }
        let Some(partial) = self.0.as_mut().filter(|partial| partial.id == *id && partial.vote == vote) else {
            return mismatch(id, offset, 0);
        };
        // A piece may come twice, when its answer was lost.
        match usize::try_from(offset) {
            Ok(offset) if offset <= partial.data.len() => partial.data.truncate(offset),
            _ => return mismatch(id, offset, partial.data.len() as u64),
        }
        if partial.data.len() + data.0.len() > SNAPSHOT_BYTES_MAX {
            self.0 = None;
            return Taken::Garbage(format!("a snapshot of more than {SNAPSHOT_BYTES_MAX} bytes"));
        }
        partial.data.extend(data.0);
        if !done {
            return Taken::Partly;
        }
        let data = self.0.take().map(|partial| partial.data).unwrap_or_default();
        match codec::decode::<State>(&data) {
            Ok(_) => Taken::Whole(Snapshot { meta, snapshot: Box::new(Cursor::new(data)) }),
            Err(error) => Taken::Garbage(format!("a snapshot that is {error}")),
        }
    }
}

fn mismatch(id: &str, got: u64, expected: u64) -> Taken {
    let segment = |offset| SnapshotSegmentId { id: id.to_owned(), offset };
    let mismatch = SnapshotMismatch { expect: segment(expected), got: segment(got) };
    Taken::Mismatch(InstallSnapshotError::SnapshotMismatch(mismatch))
}
