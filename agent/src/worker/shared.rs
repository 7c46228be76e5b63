//! Memory that an agent shares with one worker process, for inputs that are too large for its pipe.
//!
//! Through a pipe, a frame is copied into the kernel and out of it again, in pieces of the pipe's size with a change of processes
//! for each. Here the agent writes it once, where the worker reads it. A slot holds one input, from when it is written until its
//! task is answered: one that is worked on, and the next.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use memmap2::{Mmap, MmapMut};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::frame::PAYLOAD_BYTES_MAX;

/// One that is worked on and one that is written meanwhile.
const SLOTS: usize = 2;
/// What is larger goes through shared memory: so much fits a pipe at once, and costs no more there.
pub(crate) const PIPE_BYTES_MAX: usize = 64 << 10;
/// So much is written before other work of the agent gets its turn: a tenth of a millisecond.
const PIECE_BYTES: usize = 1 << 20;

/// Where an input lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// In which of the files.
    pub slot: usize,
    /// How much of it, from its beginning.
    pub length: usize,
}

/// The agent's side.
#[derive(Debug)]
pub(super) struct Slots {
    all: Vec<Slot>,
    /// Those that hold nothing that is still needed.
    free: AsyncMutex<mpsc::Receiver<usize>>,
    give_back: mpsc::Sender<usize>,
}

#[derive(Debug)]
struct Slot {
    /// By which the worker finds it.
    file: File,
    memory: Mutex<MmapMut>,
}

impl Slots {
    /// Takes no memory yet: that comes with what is written.
    pub(super) fn new() -> io::Result<Self> {
        let all = (0..SLOTS).map(|_| slot()).collect::<io::Result<_>>()?;
        let (give_back, free) = mpsc::channel(SLOTS);
        let slots = Self { all, free: AsyncMutex::new(free), give_back };
        (0..SLOTS).for_each(|slot| slots.release(slot));
        Ok(slots)
    }

    /// Where another process of this user finds the slots, while this one lives.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let own = std::process::id();
        self.all.iter().map(|slot| PathBuf::from(format!("/proc/{own}/fd/{}", slot.file.as_raw_fd()))).collect()
    }

    /// Writes an input, in parts, to the next slot that is free; none where no slot is so large.
    pub(super) async fn put(&self, parts: [&Bytes; 2]) -> Option<Span> {
        let slot = self.free.lock().await.recv().await?;
        let mut length = 0;
        for piece in parts.iter().flat_map(|part| part.chunks(PIECE_BYTES)) {
            if !self.all[slot].write(length, piece) {
                self.release(slot);
                return None;
            }
            length += piece.len();
            tokio::task::yield_now().await;
        }
        Some(Span { slot, length })
    }

    /// What is in a slot is not needed any more.
    pub(super) fn release(&self, slot: usize) {
        // There is room for each slot once.
        let _ = self.give_back.try_send(slot);
    }
}

impl Slot {
    /// Whether there was room for it.
    fn write(&self, at: usize, piece: &[u8]) -> bool {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let room = memory.get_mut(at..at + piece.len());
        room.map(|room| room.copy_from_slice(piece)).is_some()
    }
}

/// A file in memory of a fixed size: what is mapped cannot be cut off under anybody's feet, which would kill it.
fn slot() -> io::Result<Slot> {
    let file = File::from(memfd_create("skein-input", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.set_len(PAYLOAD_BYTES_MAX as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let memory = Mutex::new(map_mut(&file)?);
    Ok(Slot { file, memory })
}

#[expect(unsafe_code, reason = "a file that another process may read can only be mapped so")]
fn map_mut(file: &File) -> io::Result<MmapMut> {
    // SAFETY: The size of the file is sealed, so no page of it goes away; the worker opens it to read only, and nobody else does.
    unsafe { MmapMut::map_mut(file) }
}

/// The worker's side.
#[derive(Debug, Default)]
pub(super) struct Mapped(Vec<Mmap>);

impl Mapped {
    pub(super) fn open(paths: &[PathBuf]) -> io::Result<Self> {
        paths.iter().map(|path| map(&File::open(path)?)).collect::<io::Result<_>>().map(Self)
    }

    /// An input; none where no slot is so large.
    pub(super) fn get(&self, span: Span) -> Option<&[u8]> {
        self.0.get(span.slot)?.get(..span.length)
    }
}

#[expect(unsafe_code, reason = "a file that another process may write to can only be mapped so")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: The agent seals the size of the file before anybody opens it, so no page of it goes away; and it writes to a slot
    // only while no task is under way whose input lies there.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_input_is_where_it_was_put_until_its_slot_is_given_back() {
        let slots = Slots::new().unwrap();
        let mapped = Mapped::open(&slots.paths()).unwrap();
        let large = Bytes::from(vec![7; PIECE_BYTES + 3]);
        let first = slots.put([&Bytes::from_static(b"checkpoint"), &large]).await.unwrap();
        let second = slots.put([&Bytes::new(), &Bytes::from_static(b"next")]).await.unwrap();
        assert_eq!(first.length, 10 + large.len());
        let seen = mapped.get(first).unwrap();
        assert!(seen.starts_with(b"checkpoint") && seen[10..] == large);
        assert_eq!(mapped.get(second).unwrap(), b"next");
        let mut waiting = now(slots.put([&Bytes::new(), &large]));
        assert!(waiting.is_none(), "both are taken");
        slots.release(first.slot);
        waiting = now(slots.put([&Bytes::new(), &Bytes::from_static(b"third")]));
        let third = waiting.unwrap().unwrap();
        assert_eq!((third.slot, mapped.get(third).unwrap()), (first.slot, &b"third"[..]));
    }

    /// What it gives without waiting for anybody.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        use futures::FutureExt;
        // It gives others their turn once for each piece.
        let mut future = std::pin::pin!(future);
        (0..8).find_map(|_| future.as_mut().now_or_never())
    }

    #[test]
    fn a_span_that_is_none_is_refused() {
        let slots = Slots::new().unwrap();
        let mapped = Mapped::open(&slots.paths()).unwrap();
        assert_eq!(mapped.get(Span { slot: 0, length: PAYLOAD_BYTES_MAX + 1 }), None);
        assert_eq!(mapped.get(Span { slot: SLOTS, length: 1 }), None);
        assert!(Mapped::open(&["/no/such/file".into()]).is_err());
        assert!(slots.all[0].file.set_len(1).is_err(), "its size is sealed");
    }
}
