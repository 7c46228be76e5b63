//! Durable tasks: what the mesh has promised to work on, and how it ended.
//!
//! A durable task is accepted when it is committed, and its end counts when that is committed. Between the two, one
//! gateway runs it: the one its stream is given to, for a tenure. Where that gateway is lost, the leader gives the stream to
//! another one for the next tenure. So a task may run more than once, and has one end: the first answer that is committed, whoever
//! gives it, or a failure, of which only the gateway that has the stream may speak.
//! Ends are kept until they were fetched, or for as long as their stream asked for.
//!
//! A client counts the tasks of its stream from 0 and submits them in order, so that one number says which of them were
//! accepted: a batch that is sent again because its answer got lost adds nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Sequence, SessionId, StreamId};
use crate::model::Digest;
use crate::time::Millis;

pub use bytes::Bytes;
pub use stream::{Account, DurableStream};
pub use task::{DurableTask, End, Ended, Payload};

mod bytes;
pub mod keep;
mod stream;
mod task;

/// The most streams at once: each costs a line in every replica, and a look with every change at its gateway.
pub const STREAMS_MAX: usize = 10_000;
/// The most tasks that are pending, or ended and not fetched.
pub const TASKS_MAX: usize = 2_000_000;
/// The most that all of them may take in every replica's memory: a board with 1 GiB has to hold it, and its snapshot.
pub const BYTES_MAX: u64 = 256 << 20;
/// What a task takes beside its bytes: its places in two trees.
pub const TASK_OVERHEAD_BYTES: u64 = 128;
/// A payload above this is kept in files on two nodes, and not in the log: many times what a row of numbers takes, and so
/// little that a hundred of them still make a small log entry.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// The longest name that a client may give a task, in bytes: a path.
pub const LABEL_BYTES_MAX: usize = 512;
/// The longest description of an input or an answer: a tensor's shape, or the best classes.
pub const HEAD_BYTES_MAX: usize = 4 * 1024;
/// The most tasks in one command.
pub const BATCH_MAX: usize = 4_096;
/// The most nodes on which one payload is kept.
pub const HOLDERS_MAX: usize = 3;
/// How long ends are kept where a stream does not say: a night and a day, for whoever comes back in the morning.
pub const KEEP_DEFAULT: Millis = Millis(24 * 3_600_000);
/// The longest that a stream may ask for.
pub const KEEP_MAX: Millis = Millis(30 * 24 * 3_600_000);
/// The longest reason of a task that failed.
pub const REASON_BYTES_MAX: usize = crate::worker::REASON_BYTES_MAX;

/// What is asked of durable tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskCommand {
    /// Tasks are to be done; the first of a stream makes the stream.
    Accept {
        /// Whose they are.
        stream: StreamId,
        /// For which session.
        session: SessionId,
        /// Who runs them, where the stream is new.
        gateway: NodeId,
        /// How long ends are kept, where the stream is new.
        keep: Millis,
        /// The number of the first of them.
        first: Sequence,
        /// In the order of their numbers.
        tasks: Vec<DurableTask>,
    },
    /// Tasks ended at the gateway that has the stream.
    End {
        /// Whose they are.
        stream: StreamId,
        /// Whose word it is: of an earlier tenure only answers count, to tasks that have none.
        tenure: u32,
        /// Which, and how.
        ends: Vec<(Sequence, End)>,
    },
    /// Attempts got so far at the gateway that has the stream.
    Checkpoint {
        /// Whose they are.
        stream: StreamId,
        /// Whose word it is: that of an earlier tenure does not count.
        tenure: u32,
        /// At which task, and all that is needed to go on from there.
        checkpoints: Vec<(Sequence, Payload)>,
    },
    /// The client has these ends.
    Fetched {
        /// Whose.
        stream: StreamId,
        /// Which.
        sequences: Vec<Sequence>,
        /// It will not come back: the stream is forgotten where nothing of it is left.
        close: bool,
    },
    /// The gateway of these streams is lost: others run what is pending.
    Move {
        /// Which, and to whom.
        streams: Vec<(StreamId, NodeId)>,
    },
    /// These were not touched for as long as they are kept.
    Expire {
        /// Which.
        streams: Vec<StreamId>,
    },
}

/// All streams, and what follows from them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Durable {
    streams: BTreeMap<StreamId, DurableStream>,
    #[serde(skip)]
    size: Size,
    /// Files that tasks and ends are in, and by how many.
    #[serde(skip)]
    files: BTreeMap<Digest, usize>,
    /// The streams that each gateway has.
    #[serde(skip)]
    gateways: BTreeMap<NodeId, BTreeSet<StreamId>>,
}

/// How much all streams hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Tasks that are pending, or ended and not fetched.
    pub tasks: usize,
    /// Their bytes in memory.
    pub bytes: u64,
}

/// [`Durable`] as it is stored: the rest follows.
#[derive(Deserialize)]
struct Stored {
    streams: BTreeMap<StreamId, DurableStream>,
}

impl From<Stored> for Durable {
    fn from(stored: Stored) -> Self {
        let mut durable = Self::default();
        stored.streams.into_iter().for_each(|(id, stream)| durable.insert(id, stream));
        durable
    }
}

impl Durable {
    /// All of them.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = (StreamId, &DurableStream)> {
        self.streams.iter().map(|(id, stream)| (*id, stream))
    }

    /// One of them.
    pub fn stream(&self, id: StreamId) -> Option<&DurableStream> {
        self.streams.get(&id)
    }

    /// Those that a gateway has to run.
    pub fn streams_of(&self, gateway: NodeId) -> impl Iterator<Item = (StreamId, &DurableStream)> {
        let ids = self.gateways.get(&gateway).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.streams.get(id)?)))
    }

    /// How many streams a gateway has.
    pub fn count_of(&self, gateway: NodeId) -> usize {
        self.gateways.get(&gateway).map_or(0, BTreeSet::len)
    }

    /// Every gateway that has streams.
    pub fn gateways(&self) -> impl Iterator<Item = NodeId> {
        self.gateways.keys().copied()
    }

    /// How much all of them hold.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Whether a task or an end is in a file of this content.
    pub fn uses(&self, file: Digest) -> bool {
        self.files.contains_key(&file)
    }

    /// Whether what is kept beside the streams follows from them.
    pub fn is_consistent(&self) -> bool {
        let mut again = Self::default();
        self.streams.iter().for_each(|(id, stream)| again.insert(*id, stream.clone()));
        *self == again
    }

    pub(crate) fn insert(&mut self, id: StreamId, stream: DurableStream) {
        let size = stream.size();
        self.size.tasks += size.tasks;
        self.size.bytes += size.bytes;
        stream.files().for_each(|file| self.keep_file(Some(file)));
        self.gateways.entry(stream.gateway).or_default().insert(id);
        self.streams.insert(id, stream);
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<DurableStream> {
        let stream = self.streams.remove(&id)?;
        let size = stream.size();
        self.size.tasks -= size.tasks;
        self.size.bytes -= size.bytes;
        stream.files().for_each(|file| self.drop_file(Some(file)));
        self.leave(id, stream.gateway);
        Some(stream)
    }

    /// A stream is given to a gateway for its next tenure.
    pub(crate) fn give(&mut self, id: StreamId, to: NodeId) -> Option<u32> {
        let stream = self.streams.get_mut(&id)?;
        let from = core::mem::replace(&mut stream.gateway, to);
        stream.tenure = stream.tenure.saturating_add(1);
        let tenure = stream.tenure;
        self.leave(id, from);
        self.gateways.entry(to).or_default().insert(id);
        Some(tenure)
    }

    /// Puts a task behind the last one.
    pub(crate) fn accept(&mut self, id: StreamId, task: DurableTask) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.size.tasks += 1;
        self.size.bytes += task.bytes();
        let file = task.payload.file();
        stream.pending.insert(stream.next, task);
        stream.next.0 += 1;
        stream.account.accepted += 1;
        self.keep_file(file);
    }

    /// A pending task has got so far.
    pub(crate) fn keep_checkpoint(&mut self, id: StreamId, sequence: Sequence, checkpoint: Payload) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(task) = stream.pending.get_mut(&sequence) else { return };
        let (before, file) = (task.bytes(), checkpoint.file());
        let old = task.checkpoint.replace(checkpoint);
        self.size.bytes = self.size.bytes - before + task.bytes();
        self.keep_file(file);
        self.drop_file(old.as_ref().and_then(Payload::file));
    }

    /// A pending task ends; whether it was pending.
    pub(crate) fn end(&mut self, id: StreamId, sequence: Sequence, end: End) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let Some(task) = stream.pending.remove(&sequence) else { return false };
        match end.result {
            Ok(_) => stream.account.done += 1,
            Err(_) => stream.account.failed += 1,
        }
        let (bytes, inputs): (_, Vec<Digest>) = (task.bytes(), task.files().collect());
        let ended = Ended { label: task.label, end };
        self.size.bytes = self.size.bytes - bytes + ended.bytes();
        let output = ended.file();
        stream.ended.insert(sequence, ended);
        self.keep_file(output);
        for file in inputs {
            self.drop_file(Some(file));
        }
        true
    }

    /// The client has an end.
    pub(crate) fn fetched(&mut self, id: StreamId, sequence: Sequence) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(end) = stream.ended.remove(&sequence) else { return };
        self.size.tasks -= 1;
        self.size.bytes -= end.bytes();
        stream.account.fetched += 1;
        self.drop_file(end.file());
    }

    /// For what touches neither tasks nor the gateway.
    pub(crate) fn stream_mut(&mut self, id: StreamId) -> Option<&mut DurableStream> {
        self.streams.get_mut(&id)
    }

    fn keep_file(&mut self, file: Option<Digest>) {
        if let Some(file) = file {
            *self.files.entry(file).or_default() += 1;
        }
    }

    fn drop_file(&mut self, file: Option<Digest>) {
        let Some(file) = file else { return };
        let Some(count) = self.files.get_mut(&file) else { return };
        *count -= 1;
        if *count == 0 {
            self.files.remove(&file);
        }
    }

    fn leave(&mut self, id: StreamId, gateway: NodeId) {
        if let Some(streams) = self.gateways.get_mut(&gateway) {
            streams.remove(&id);
            if streams.is_empty() {
                self.gateways.remove(&gateway);
            }
        }
    }
}
