//! What waits for the mesh: ends of durable tasks, on disk, in the order in which they came.
//!
//! A file holds the ends of one stream that came at the same time: flushed before it has its name, with its checksum in front. What
//! is in a file was counted before it was written, so the store never takes more than it may. The newest has to stay outside where
//! there is no room: its tasks are pending still, and are done again when the mesh is back.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use skein_core::durable::{End, Payload};
use skein_core::model::Digest;
use skein_core::{Sequence, StreamId};
use skein_raft::codec;
use tokio::sync::Notify;

/// The directory in the state directory.
pub const DIRECTORY: &str = "waiting";
/// What the store may take unless it is said: some hundred thousand classes, or the pictures of an hour; a card of 8 GB does not
/// notice.
pub const BYTES_MAX_DEFAULT: u64 = 64 << 20;
/// The most ends in it: each costs a line in memory.
pub const ENDS_MAX: usize = 100_000;
/// A file takes whole blocks of the disk.
const BLOCK_BYTES: u64 = 4_096;
/// In front of each file: SHA-256 of the rest.
const CHECKSUM_BYTES: usize = 32;

/// Ends of tasks of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose tasks.
    pub stream: StreamId,
    /// The tenure in which they were run.
    pub tenure: u32,
    /// Which, and how they ended. An answer that is too large for the log is in a file of this node.
    pub ends: Vec<(Sequence, End)>,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// Ends of durable tasks.
    pub ends: usize,
    /// What they take on disk.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Ends for which there was no room, since this agent started: their tasks are done again.
    pub dropped: u64,
}

/// The store of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Waiting {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Index {
    records: BTreeMap<u64, Held>,
    /// Tasks whose end is here, and how often.
    tasks: HashMap<(StreamId, Sequence), usize>,
    /// Files of answers, and by how many ends they are used.
    files: HashMap<Digest, usize>,
    next: u64,
    /// What is counted, written or about to be.
    ends: usize,
    bytes: u64,
    /// Something found no room, and none was made since.
    is_full: bool,
    dropped: u64,
}

#[derive(Debug)]
struct Held {
    bytes: u64,
    tasks: Vec<(StreamId, Sequence)>,
    files: Vec<Digest>,
}

impl Waiting {
    /// The store in this state directory. What cannot be read there is removed: its tasks are pending still.
    pub fn open(state_dir: &Path, bytes_max: u64) -> std::io::Result<Self> {
        let directory = state_dir.join(DIRECTORY);
        std::fs::create_dir_all(&directory)?;
        let mut index = Index::default();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = u64::from_str_radix(name, 16).ok();
            let Some((number, (record, bytes))) = number.zip(read(&path)) else {
                tracing::warn!("{} is no whole record of ended tasks: they are done again", path.display());
                std::fs::remove_file(&path)?;
                continue;
            };
            index.next = index.next.max(number + 1);
            index.reserve(record.ends.len(), bytes);
            index.enter(number, &record, bytes);
        }
        Ok(Self { inner: Arc::new(Inner { directory, bytes_max, index: Mutex::new(index), came: Notify::new() }) })
    }

    /// Writes ends down. Whether there was room, and they are on disk.
    pub async fn put(&self, record: Record) -> bool {
        let count = record.ends.len();
        let (bytes, text) = (size(&record), encode(&record));
        let reserved = {
            let mut index = self.lock();
            let has_room = index.bytes + bytes <= self.inner.bytes_max && index.ends + count <= ENDS_MAX;
            has_room.then(|| {
                index.reserve(count, bytes);
                index.next += 1;
                index.next - 1
            })
        };
        let written = match reserved {
            None => Err("as much waits as may".to_owned()),
            Some(number) => {
                let directory = self.inner.directory.clone();
                let write = tokio::task::spawn_blocking(move || write(&directory, number, &text));
                write
                    .await
                    .map_err(|error| error.to_string())
                    .and_then(|written| written.map_err(|error| error.to_string()))
            }
        };
        let mut index = self.lock();
        match (written, reserved) {
            (Ok(()), Some(number)) => index.enter(number, &record, bytes),
            (Err(why), _) => {
                if reserved.is_some() {
                    index.release(count, bytes);
                }
                index.is_full = true;
                index.dropped += count as u64;
                tracing::warn!(
                    "{count} ends of durable tasks were not kept ({why}): they are done again when the mesh is back"
                );
                return false;
            }
            (Ok(()), None) => {}
        }
        drop(index);
        self.inner.came.notify_one();
        true
    }

    /// The oldest ends, once there are some, and their number in the store. For one reader.
    pub async fn next(&self) -> (u64, Record) {
        loop {
            let oldest = self.lock().records.keys().next().copied();
            let Some(number) = oldest else {
                self.inner.came.notified().await;
                continue;
            };
            let path = path(&self.inner.directory, number);
            let read = tokio::task::spawn_blocking(move || read(&path)).await.ok().flatten();
            if let Some((record, _)) = read {
                return (number, record);
            }
            tracing::warn!("a record of ended tasks was lost on disk: they are done again");
            self.remove(number).await;
        }
    }

    /// Forgets what was delivered.
    pub async fn remove(&self, number: u64) {
        let path = path(&self.inner.directory, number);
        let removed = tokio::fs::remove_file(&path).await;
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // Delivered once more by the next start, it is refused.
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
        self.lock().leave(number);
    }

    /// Whether the end of a task is here.
    pub fn holds(&self, stream: StreamId, task: Sequence) -> bool {
        self.lock().tasks.contains_key(&(stream, task))
    }

    /// Whether an answer is in a file of this content.
    pub fn uses(&self, file: Digest) -> bool {
        self.lock().files.contains_key(&file)
    }

    /// Whether something found no room, and none was made since.
    pub fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// How much waits.
    pub fn status(&self) -> WaitingStatus {
        let index = self.lock();
        WaitingStatus {
            ends: index.tasks.len(),
            bytes: index.bytes,
            bytes_max: self.inner.bytes_max,
            dropped: index.dropped,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.inner.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn reserve(&mut self, ends: usize, bytes: u64) {
        self.ends += ends;
        self.bytes += bytes;
    }

    fn release(&mut self, ends: usize, bytes: u64) {
        self.ends -= ends;
        self.bytes -= bytes;
    }

    fn enter(&mut self, number: u64, record: &Record, bytes: u64) {
        let tasks: Vec<_> = record.ends.iter().map(|(task, _)| (record.stream, *task)).collect();
        let files: Vec<Digest> = answers(record).map(|(file, _)| file).collect();
        for task in &tasks {
            *self.tasks.entry(*task).or_default() += 1;
        }
        for file in &files {
            *self.files.entry(*file).or_default() += 1;
        }
        self.records.insert(number, Held { bytes, tasks, files });
    }

    fn leave(&mut self, number: u64) {
        let Some(held) = self.records.remove(&number) else { return };
        self.release(held.tasks.len(), held.bytes);
        held.tasks.iter().for_each(|task| less(&mut self.tasks, task));
        held.files.iter().for_each(|file| less(&mut self.files, file));
        self.is_full = false;
    }
}

fn less<K: std::hash::Hash + Eq + Copy>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

/// Answers that are in files, and their sizes.
fn answers(record: &Record) -> impl Iterator<Item = (Digest, u64)> {
    record.ends.iter().filter_map(|(_, end)| match &end.result {
        Ok((_, Payload::Stored { blob, .. })) => Some((blob.digest, blob.size)),
        _ => None,
    })
}

/// What a record takes on disk, the files of its answers included.
fn size(record: &Record) -> u64 {
    let blocks = |bytes: u64| bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
    let own = (CHECKSUM_BYTES + codec::encode(record).len()) as u64;
    blocks(own) + answers(record).map(|(_, bytes)| blocks(bytes)).sum::<u64>()
}

fn encode(record: &Record) -> Vec<u8> {
    let body = codec::encode(record);
    [&Sha256::digest(&body)[..], &body].concat()
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}"))
}

/// Flushed before it has its name, and its name before it counts.
fn write(directory: &Path, number: u64, text: &[u8]) -> std::io::Result<()> {
    let path = path(directory, number);
    let part = path.with_extension("part");
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&part, &path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&part);
    })
}

/// A whole record, and what it takes.
fn read(path: &Path) -> Option<(Record, u64)> {
    let text = std::fs::read(path).ok()?;
    let (checksum, body) = text.split_at_checked(CHECKSUM_BYTES)?;
    let record: Record = (Sha256::digest(body)[..] == *checksum).then(|| codec::decode(body).ok()).flatten()?;
    let bytes = size(&record);
    Some((record, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::durable::Bytes;
    use skein_core::model::Blob;

    fn record(stream: u64, tasks: &[u64], answer: Payload) -> Record {
        let end = End { attempt: 1, worker: None, run_micros: 1, result: Ok((Bytes::default(), answer)) };
        Record {
            stream: StreamId(stream),
            tenure: 1,
            ends: tasks.iter().map(|task| (Sequence(*task), end.clone())).collect(),
        }
    }

    fn inline() -> Payload {
        Payload::Inline(Bytes::from(&b"cat"[..]))
    }

    fn stored(size: u64) -> Payload {
        Payload::Stored { blob: Blob { digest: Digest([7; 32]), size }, holders: vec![] }
    }

    #[tokio::test]
    async fn ends_outlive_the_agent_and_come_out_in_order_once() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Waiting::open(directory.path(), BYTES_MAX_DEFAULT).unwrap();
        let waiting = open();
        let (first, second) = (record(1, &[0, 3], inline()), record(2, &[5], stored(10_000)));
        assert!(waiting.put(first.clone()).await && waiting.put(second.clone()).await);
        let waiting = open();
        assert!(waiting.holds(StreamId(1), Sequence(3)) && !waiting.holds(StreamId(1), Sequence(5)));
        assert!(waiting.uses(Digest([7; 32])));
        assert_eq!((waiting.status().ends, waiting.status().bytes), (3, 2 * 4_096 + 3 * 4_096));
        let (number, oldest) = waiting.next().await;
        assert_eq!(oldest, first);
        waiting.remove(number).await;
        assert!(!waiting.holds(StreamId(1), Sequence(3)));
        let (number, oldest) = open().next().await;
        assert_eq!(oldest, second);
        waiting.remove(number).await;
        assert_eq!(open().status(), WaitingStatus { bytes_max: BYTES_MAX_DEFAULT, ..WaitingStatus::default() });
        assert!(!waiting.uses(Digest([7; 32])));
    }

    #[tokio::test]
    async fn a_full_store_takes_nothing_more_counts_that_and_goes_on_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let waiting = Waiting::open(directory.path(), 2 * 4_096).unwrap();
        assert!(!waiting.put(record(1, &[9], stored(5_000))).await, "its answer takes two blocks more");
        for task in 0..2 {
            assert!(waiting.put(record(1, &[task], inline())).await);
        }
        for task in 2..50 {
            assert!(!waiting.put(record(1, &[task], inline())).await && waiting.is_full());
        }
        let status = waiting.status();
        assert_eq!((status.ends, status.bytes, status.dropped), (2, 2 * 4_096, 49));
        assert_eq!(std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count(), 2);
        let (number, _) = waiting.next().await;
        waiting.remove(number).await;
        assert!(!waiting.is_full() && waiting.put(record(1, &[2], inline())).await);
    }

    #[tokio::test]
    async fn what_is_torn_or_garbled_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Waiting::open(directory.path(), BYTES_MAX_DEFAULT).unwrap();
        let waiting = open();
        for task in 0..3 {
            assert!(waiting.put(record(1, &[task], inline())).await);
        }
        let at = |number| path(&directory.path().join(DIRECTORY), number);
        let text = std::fs::read(at(0)).unwrap();
        std::fs::write(at(0), &text[..text.len() - 1]).unwrap();
        let mut text = std::fs::read(at(1)).unwrap();
        *text.last_mut().unwrap() ^= 1;
        std::fs::write(at(1), text).unwrap();
        std::fs::write(at(3).with_extension("part"), "half").unwrap();
        let waiting = open();
        assert_eq!(waiting.status().ends, 1);
        assert_eq!(waiting.next().await.1, record(1, &[2], inline()));
        assert_eq!(std::fs::read_dir(directory.path().join(DIRECTORY)).unwrap().count(), 1);
    }
}
