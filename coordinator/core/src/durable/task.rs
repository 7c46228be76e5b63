//! One durable task: what goes in, and how it ended.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::durable::TASK_OVERHEAD_BYTES;
use crate::durable::{Bytes, HEAD_BYTES_MAX, HOLDERS_MAX, INLINE_BYTES_MAX, LABEL_BYTES_MAX, REASON_BYTES_MAX};
use crate::ids::{NodeId, WorkerId};
use crate::model::{Blob, Digest};

/// Where the bytes of an input or an answer are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Here.
    Inline(Bytes),
    /// In a file of this content, on these nodes.
    Stored {
        /// Digest and size.
        blob: Blob,
        /// Who has it.
        holders: Vec<NodeId>,
    },
}

/// A task that the mesh has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableTask {
    /// What its client calls it, for whoever fetches its end.
    pub label: String,
    /// What the input is, for whoever runs it.
    pub head: Bytes,
    /// The input.
    pub payload: Payload,
    /// 0 to 100; among the waiting tasks of the session, higher ones are sent first.
    pub priority: u8,
    /// How far an attempt got, by the last word of the gateway that runs the stream: the next one begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Payload>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The attempt that ended it.
    pub attempt: u32,
    /// The worker that ended it, and where it ran; none where no worker did.
    pub worker: Option<(WorkerId, NodeId)>,
    /// How long the worker ran, in microseconds.
    pub run_micros: u64,
    /// What the answer is, and the answer; or why there is none.
    pub result: Result<(Bytes, Payload), String>,
}

/// An end that is kept until it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What the client called the task.
    pub label: String,
    /// How it ended.
    pub end: End,
}

impl Payload {
    /// What it takes in memory.
    pub fn inline_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored { .. } => 0,
        }
    }

    /// Its length, wherever it is.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored { blob, .. } => blob.size,
        }
    }

    pub(super) fn file(&self) -> Option<Digest> {
        match self {
            Self::Inline(_) => None,
            Self::Stored { blob, .. } => Some(blob.digest),
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Inline(bytes) if bytes.len() > INLINE_BYTES_MAX => Err("a payload is too large for the log"),
            Self::Stored { holders, .. } if holders.is_empty() || holders.len() > HOLDERS_MAX => {
                Err("a stored payload is on no node, or on too many")
            }
            _ => Ok(()),
        }
    }
}

impl DurableTask {
    /// What it takes in memory.
    pub fn bytes(&self) -> u64 {
        let checkpoint = self.checkpoint.as_ref().map_or(0, Payload::inline_bytes);
        (self.label.len() + self.head.len()) as u64 + self.payload.inline_bytes() + checkpoint + TASK_OVERHEAD_BYTES
    }

    pub(super) fn files(&self) -> impl Iterator<Item = Digest> {
        [Some(&self.payload), self.checkpoint.as_ref()].into_iter().flatten().filter_map(Payload::file)
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.head.len() > HEAD_BYTES_MAX {
            return Err("the description of an input is too long");
        }
        if self.label.len() > LABEL_BYTES_MAX {
            return Err("the name of a task is too long");
        }
        if self.checkpoint.is_some() {
            return Err("a task that nobody has begun has no checkpoint");
        }
        self.payload.check()
    }
}

impl Ended {
    /// What it takes in memory.
    pub fn bytes(&self) -> u64 {
        self.label.len() as u64 + self.end.bytes() + TASK_OVERHEAD_BYTES
    }

    pub(super) fn file(&self) -> Option<Digest> {
        self.end.result.as_ref().ok().and_then(|(_, payload)| payload.file())
    }
}

impl End {
    /// What its answer or its reason takes in memory.
    pub fn bytes(&self) -> u64 {
        match &self.result {
            Ok((head, payload)) => head.len() as u64 + payload.inline_bytes(),
            Err(reason) => reason.len() as u64,
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        match &self.result {
            Ok((head, _)) if head.len() > HEAD_BYTES_MAX => Err("the description of an answer is too long"),
            Ok((_, payload)) => payload.check(),
            Err(reason) if reason.len() > REASON_BYTES_MAX => Err("the reason of a failure is too long"),
            Err(_) => Ok(()),
        }
    }
}
