//! One named table: numbered records.

use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{self, PIECE_BYTES, parse_key, piece_key};
use super::{Store, StoreError};
use crate::codec;

/// Pieces of a large record that are written between two flushes: 1 MiB, which takes a slow card 0.1 s.
const PIECES_A_STEP: usize = 256;

/// Numbered records. A write is seen at once and is on the disk after the next flush.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    tree: sled::Tree,
    name: &'static str,
    directory: PathBuf,
}

impl Table {
    pub(super) fn new(tree: sled::Tree, name: &'static str, directory: &Path) -> Self {
        Self { tree, name, directory: directory.to_path_buf() }
    }

    /// Writes a record. Over an older one this is all or nothing across a crash only where both fit one piece.
    pub(crate) fn put<T: Serialize>(&self, key: u64, value: &T) -> Result<(), StoreError> {
        self.put_bytes(key, &codec::encode(value))
    }

    /// Writes a record of bytes that are encoded already.
    pub(crate) fn put_bytes(&self, key: u64, body: &[u8]) -> Result<(), StoreError> {
        let sealed = record::seal(body);
        for (piece, bytes) in (0_u32..).zip(sealed.chunks(PIECE_BYTES)).collect::<Vec<_>>().into_iter().rev() {
            self.tree.insert(piece_key(key, piece), bytes).map_err(|error| self.io(&error))?;
        }
        Ok(())
    }

    /// As [`Self::put_bytes`] for a large record, in steps that are each flushed. Written at once it would hold up every flush
    /// of the log behind it, on a slow card for many seconds.
    pub(crate) async fn put_large(&self, store: &Store, key: u64, body: &[u8]) -> Result<(), StoreError> {
        let sealed = record::seal(body);
        let pieces: Vec<(u32, &[u8])> = (0_u32..).zip(sealed.chunks(PIECE_BYTES)).collect();
        for step in pieces.rchunks(PIECES_A_STEP) {
            for (piece, bytes) in step.iter().rev() {
                self.tree.insert(piece_key(key, *piece), *bytes).map_err(|error| self.io(&error))?;
            }
            store.flush().await?;
        }
        Ok(())
    }

    /// Reads a record.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: u64) -> Result<Option<T>, StoreError> {
        let body = self.get_bytes(key)?;
        body.map(|body| self.decode(key, &body)).transpose()
    }

    /// Reads a record's bytes.
    pub(crate) fn get_bytes(&self, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let first = self.tree.get(piece_key(key, 0)).map_err(|error| self.io(&error))?;
        first.map(|first| self.join(key, &first)).transpose()
    }

    /// Takes a record out.
    pub(crate) fn remove(&self, key: u64) -> Result<(), StoreError> {
        for item in self.tree.range(piece_key(key, 0)..=piece_key(key, u32::MAX)).keys() {
            let piece = item.map_err(|error| self.io(&error))?;
            self.tree.remove(piece).map_err(|error| self.io(&error))?;
        }
        Ok(())
    }

    /// The keys of the whole records of a range, in order.
    pub(crate) fn keys(
        &self,
        range: impl RangeBounds<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<u64, StoreError>> {
        let start = match range.start_bound() {
            Bound::Included(start) => Bound::Included(piece_key(*start, 0)),
            Bound::Excluded(start) => Bound::Excluded(piece_key(*start, u32::MAX)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => Bound::Included(piece_key(*end, u32::MAX)),
            Bound::Excluded(end) => Bound::Excluded(piece_key(*end, 0)),
            Bound::Unbounded => Bound::Unbounded,
        };
        // A piece without its first is the rest of a write that a crash cut short; nobody was told of that record.
        self.tree.range((start, end)).keys().filter_map(|item| match item {
            Err(error) => Some(Err(self.io(&error))),
            Ok(bytes) => match parse_key(&bytes) {
                Some((key, 0)) => Some(Ok(key)),
                Some(_) => None,
                None => Some(Err(self.unreadable(0, "there is a key that is none"))),
            },
        })
    }

    /// That a record is there but makes no sense.
    pub(crate) fn unreadable(&self, key: u64, why: &str) -> StoreError {
        let directory = self.directory.clone();
        StoreError::Unreadable { directory, table: self.name, key, why: why.into() }
    }

    fn decode<T: DeserializeOwned>(&self, key: u64, body: &[u8]) -> Result<T, StoreError> {
        codec::decode(body).map_err(|error| self.unreadable(key, &error.to_string()))
    }

    fn join(&self, key: u64, first: &[u8]) -> Result<Vec<u8>, StoreError> {
        let pieces = record::pieces(first).map_err(|why| self.unreadable(key, &why))?;
        let mut sealed = first.to_vec();
        for piece in 1..pieces {
            let bytes = self.tree.get(piece_key(key, piece)).map_err(|error| self.io(&error))?;
            let bytes = bytes.ok_or_else(|| self.unreadable(key, &format!("piece {piece} of {pieces} is missing")))?;
            sealed.extend_from_slice(&bytes);
        }
        let body = record::open(&sealed).map_err(|why| self.unreadable(key, &why))?;
        Ok(body.to_vec())
    }

    fn io(&self, error: &sled::Error) -> StoreError {
        StoreError::sled(&self.directory, error)
    }
}
