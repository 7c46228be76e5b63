//! Model files of this node, named by their content.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quinn::RecvStream;
use sha2::{Digest as _, Sha256};
use skein_core::NodeId;
use skein_core::model::{Blob, Digest, FILE_BYTES_MAX};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{LinkError, Open, Pool, Stream, Urgency, send_message};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Why a file is not here.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The store's directory failed.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than any model may be.
    #[error("the file has {size} bytes; a model file may have {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        size: u64,
    },
    /// What came is not what was named.
    #[error("the file that came is not the one that was named ({expected}); send it again")]
    WrongContent {
        /// The name.
        expected: Digest,
    },
    /// The sender stopped early.
    #[error("the file broke off: {0}")]
    BrokeOff(String),
    /// Nobody who could be asked has it.
    #[error("no node that is up has the file {0}; add the model again, or bring a node back that has it")]
    Nowhere(Digest),
}

/// The files under the state directory.
#[derive(Clone, Debug)]
pub struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    /// The store in this directory, which is made if it is missing. What an interrupted download left is removed.
    pub fn open(directory: PathBuf) -> Result<Self, BlobError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| BlobError::File { action, path, source }
        };
        std::fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
        for entry in std::fs::read_dir(&directory).map_err(failed("read", &directory))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
            }
        }
        Ok(Self { directory })
    }

    /// Where a file is, or would be.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    /// Whether a file is here. It was checked when it came in.
    pub fn has(&self, digest: Digest) -> bool {
        self.path(digest).exists()
    }

    /// Forgets a file that no model uses. One that cannot be removed takes room and does no other harm.
    pub async fn remove(&self, digest: Digest) {
        let path = self.path(digest);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
            _ => {}
        }
    }

    /// Takes a file in from a stream: checked against its name, flushed, and only then visible.
    pub async fn receive(&self, blob: Blob, from: &mut RecvStream) -> Result<(), BlobError> {
        if blob.size > FILE_BYTES_MAX {
            return Err(BlobError::TooLarge { size: blob.size });
        }
        let part = self.part(blob)?;
        let written = write_checked(&part, blob, from).await;
        self.name(&part, blob, written).await
    }

    /// Where a file is written before it has its name: two who write the same one do not meet.
    fn part(&self, blob: Blob) -> Result<PathBuf, BlobError> {
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(|error| BlobError::BrokeOff(error.to_string()))?;
        Ok(self.directory.join(format!("{}.{:016x}.part", blob.digest, u64::from_be_bytes(unique))))
    }

    /// Gives a file its name, if it was written.
    async fn name(&self, part: &Path, blob: Blob, written: Result<(), BlobError>) -> Result<(), BlobError> {
        if written.is_err() {
            let _ = tokio::fs::remove_file(part).await;
        }
        written?;
        let path = self.path(blob.digest);
        let named = async {
            tokio::fs::rename(part, &path).await?;
            // Without this a power cut could take the name away again.
            File::open(&self.directory).await?.sync_all().await
        };
        named.await.map_err(|source| BlobError::File { action: "name", path: path.clone(), source })
    }

    /// Writes a file down that is in memory: flushed, and only then visible. Its name is taken as it is.
    pub async fn put(&self, blob: Blob, bytes: &[u8]) -> Result<(), BlobError> {
        if self.has(blob.digest) {
            return Ok(());
        }
        let part = self.part(blob)?;
        let write = async {
            let mut file = File::create_new(&part).await?;
            file.write_all(bytes).await?;
            file.flush().await?;
            file.sync_all().await
        };
        let written = write.await.map_err(|source| BlobError::File { action: "write", path: part.clone(), source });
        self.name(&part, blob, written).await
    }

    /// Files that are at least so old.
    pub async fn older_than(&self, age: Duration) -> Vec<Digest> {
        let mut found = Vec::new();
        let Ok(mut entries) = tokio::fs::read_dir(&self.directory).await else { return found };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let written = entry.metadata().await.and_then(|metadata| metadata.modified());
            let is_old = written.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed >= age));
            if is_old && let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(digest);
            }
        }
        found
    }

    /// Gets a file from the first of these nodes that has it.
    pub async fn fetch(&self, blob: Blob, pool: &Pool, nodes: Vec<NodeId>) -> Result<(), BlobError> {
        if self.has(blob.digest) {
            return Ok(());
        }
        for node in nodes {
            match self.fetch_from(blob, pool, node).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => tracing::warn!(%node, digest = %blob.digest, "cannot get a model file: {error}"),
            }
        }
        Err(BlobError::Nowhere(blob.digest))
    }

    async fn fetch_from(&self, blob: Blob, pool: &Pool, node: NodeId) -> Result<bool, BlobError> {
        let broke = |error: LinkError| BlobError::BrokeOff(error.to_string());
        let connection = pool.connection(node).await.map_err(broke)?;
        let mut stream =
            Stream::open(&connection, &Open::Blob(blob.digest), bytes::Bytes::new()).await.map_err(broke)?;
        let found: Option<u64> = stream.expect().await.map_err(broke)?.header().map_err(|e| broke(e.into()))?;
        match found {
            None => Ok(false),
            Some(size) if size != blob.size => Err(BlobError::WrongContent { expected: blob.digest }),
            Some(_) => self.receive(blob, &mut stream.recv).await.map(|()| true),
        }
    }

    /// Sends a file to whoever asked for it on this stream.
    pub async fn send(&self, digest: Digest, mut stream: Stream) -> Result<(), LinkError> {
        let _ = stream.send.set_priority(Urgency::Bulk as i32);
        let lost = |error: std::io::Error| LinkError::Lost(error.to_string());
        let mut file = match File::open(self.path(digest)).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return send_message(&mut stream.send, &None::<u64>, bytes::Bytes::new()).await;
            }
            Err(error) => return Err(lost(error)),
        };
        let size = file.metadata().await.map_err(lost)?.len();
        send_message(&mut stream.send, &Some(size), bytes::Bytes::new()).await?;
        copy(&mut file, &mut stream.send, size).await.map_err(lost)?;
        let _ = stream.send.finish();
        // The stream is reset when it is dropped with bytes under way: wait until they arrived.
        let _ = stream.send.stopped().await;
        Ok(())
    }
}

/// Size and digest of a file on disk.
pub async fn blob_of(path: &Path) -> Result<Blob, BlobError> {
    let failed = |source| BlobError::File { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).await.map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut chunk).await.map_err(failed)?;
        if read == 0 {
            return Ok(Blob { digest: Digest(hasher.finalize().into()), size });
        }
        size += read as u64;
        if size > FILE_BYTES_MAX {
            return Err(BlobError::TooLarge { size });
        }
        hasher.update(&chunk[..read]);
    }
}

async fn write_checked(part: &Path, blob: Blob, from: &mut RecvStream) -> Result<(), BlobError> {
    let failed = |source| BlobError::File { action: "write", path: part.to_owned(), source };
    let mut file = File::create_new(part).await.map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut left = blob.size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let chunk = from.read_chunk(most, true).await.map_err(|error| BlobError::BrokeOff(error.to_string()))?;
        let chunk = chunk.ok_or_else(|| BlobError::BrokeOff(format!("{left} bytes are missing")))?;
        hasher.update(&chunk.bytes);
        file.write_all(&chunk.bytes).await.map_err(failed)?;
        left -= chunk.bytes.len() as u64;
    }
    if Digest(hasher.finalize().into()) != blob.digest {
        return Err(BlobError::WrongContent { expected: blob.digest });
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)
}

/// Copies so many bytes of a file into a stream.
pub async fn copy(file: &mut File, to: &mut quinn::SendStream, size: u64) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = file.read(&mut chunk[..most]).await?;
        if read == 0 {
            return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
        }
        to.write_all(&chunk[..read]).await?;
        left -= read as u64;
    }
    Ok(())
}
