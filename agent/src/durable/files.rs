//! Inputs and answers that are too large for the log: files named by their content, on this node and on another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use skein_core::durable::{self, INLINE_BYTES_MAX, Payload};
use skein_core::model::{Blob, Digest};
use skein_core::{NodeId, State};
use skein_raft::Seat;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::ApiError;
use crate::blobs::{BlobError, Blobs};
use crate::island::waiting::Waiting;
use crate::link::{Open, Pool, Stream};

/// Files that are written or fetched at once: enough to keep a disk and a link busy.
const AT_ONCE_MAX: usize = 8;
/// How long another node may take to write one down before the next is asked.
const COPY_TIME_MAX: Duration = Duration::from_secs(10);
/// A file that no task uses is removed once it is so old: younger ones may belong to tasks that are just being accepted.
const UNUSED_FOR: Duration = Duration::from_secs(600);
/// How often files that no task uses are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The files of one agent.
#[derive(Clone, Debug)]
pub struct Files {
    node: NodeId,
    seat: Seat,
    pool: Pool,
    /// Where they are.
    pub blobs: Blobs,
    /// Ends that wait for the mesh: their answers are used, too.
    waiting: Waiting,
    turns: Arc<Semaphore>,
}

impl Files {
    /// The files in this store.
    pub fn new(node: NodeId, seat: Seat, pool: Pool, blobs: Blobs, waiting: Waiting) -> Self {
        Self { node, seat, pool, blobs, waiting, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Puts a payload where it belongs: into the log where it is small; else on the disks of this node and of another one,
    /// which both have it when this returns. Only in a mesh of one node there is no other.
    pub async fn store(&self, bytes: Bytes) -> Result<Payload, ApiError> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Payload::Inline(durable::Bytes::from(&bytes[..])));
        }
        let _turn = self.turns.acquire().await;
        let blob = Blob { digest: Digest(Sha256::digest(&bytes).into()), size: bytes.len() as u64 };
        let (here, other) = tokio::join!(self.blobs.put(blob, &bytes), self.copy(blob, &bytes));
        here.map_err(|error| ApiError::Unavailable(format!("the task was not written down: {error}")))?;
        Ok(Payload::Stored { blob, holders: [Some(self.node), other?].into_iter().flatten().collect() })
    }

    /// Puts a payload where it belongs while there is no other node: a file on this one alone, until [`Self::spread`].
    pub async fn store_here(&self, bytes: Bytes) -> Result<Payload, ApiError> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Payload::Inline(durable::Bytes::from(&bytes[..])));
        }
        let _turn = self.turns.acquire().await;
        let blob = Blob { digest: Digest(Sha256::digest(&bytes).into()), size: bytes.len() as u64 };
        let written = self.blobs.put(blob, &bytes).await;
        written.map_err(|error| ApiError::Unavailable(format!("the answer was not written down: {error}")))?;
        Ok(Payload::Stored { blob, holders: vec![self.node] })
    }

    /// Brings what [`Self::store_here`] has put on this node alone to another one, too.
    pub async fn spread(&self, payload: Payload) -> Result<Payload, ApiError> {
        match &payload {
            Payload::Stored { holders, .. } if holders.len() < 2 => {
                let bytes = self.load(&payload).await;
                self.store(bytes.map_err(|error| ApiError::Invalid(format!("the answer is lost: {error}")))?).await
            }
            _ => Ok(payload),
        }
    }

    /// The bytes of a payload, from wherever they are.
    pub async fn load(&self, payload: &Payload) -> Result<Bytes, BlobError> {
        let (blob, holders) = match payload {
            Payload::Inline(bytes) => return Ok(Bytes::copy_from_slice(bytes)),
            Payload::Stored { blob, holders } => (*blob, holders),
        };
        let _turn = self.turns.acquire().await;
        if !self.blobs.has(blob.digest) {
            let others = holders.iter().copied().filter(|node| *node != self.node).collect();
            self.blobs.fetch(blob, &self.pool, others).await?;
        }
        let path = self.blobs.path(blob.digest);
        let read = tokio::fs::read(&path).await;
        read.map(Bytes::from).map_err(|source| BlobError::File { action: "read", path, source })
    }

    /// Removes what no task uses any more, for as long as the agent runs.
    pub async fn sweep(self) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        loop {
            every.tick().await;
            let old = self.blobs.older_than(UNUSED_FOR).await;
            let unused = self.seat.read(|state| unused(state, old));
            for digest in unused.into_iter().filter(|digest| !self.waiting.uses(*digest)) {
                self.blobs.remove(digest).await;
            }
        }
    }

    /// Has another node write it down; which one did. None where there is no other node.
    async fn copy(&self, blob: Blob, bytes: &Bytes) -> Result<Option<NodeId>, ApiError> {
        let others = self.seat.read(|state| others(state, self.node, blob.digest));
        if others.is_empty() && self.seat.read(|state| state.nodes.len() <= 1) {
            return Ok(None);
        }
        let mut why = String::from("no other node is up");
        for node in others {
            match timeout(COPY_TIME_MAX, self.send(node, blob, bytes)).await {
                Ok(Ok(())) => return Ok(Some(node)),
                Ok(Err(error)) => why = error,
                Err(_) => why = format!("node {node} did not write it down in {} s", COPY_TIME_MAX.as_secs()),
            }
        }
        Err(ApiError::Unavailable(format!("a task is accepted only when two nodes have its input: {why}")))
    }

    async fn send(&self, node: NodeId, blob: Blob, bytes: &Bytes) -> Result<(), String> {
        let exchange = async {
            let connection = self.pool.connection(node).await?;
            let mut stream = Stream::open(&connection, &Open::TaskFile(blob), Bytes::new()).await?;
            stream.send.write_chunk(bytes.clone()).await?;
            let _ = stream.send.finish();
            let answer: Result<(), String> = stream.expect().await?.header()?;
            Ok::<_, crate::link::LinkError>(answer)
        };
        exchange.await.map_err(|error| format!("node {node}: {error}"))?
    }
}

/// The other nodes that are up, in an order that differs from file to file, so that all get their part.
fn others(state: &State, node: NodeId, digest: Digest) -> Vec<NodeId> {
    let up = state.nodes.iter().filter(|(id, other)| other.up && **id != node);
    let mut others: Vec<NodeId> = up.map(|(id, _)| *id).collect();
    if !others.is_empty() {
        let first = usize::from(digest.0[0]) % others.len();
        others.rotate_left(first);
    }
    others
}

/// Those of them that no task uses.
fn unused(state: &State, old: Vec<Digest>) -> Vec<Digest> {
    // Before the state has come, it says nothing.
    if state.mesh.is_none() {
        return Vec::new();
    }
    old.into_iter().filter(|digest| !state.durable.uses(*digest)).collect()
}
