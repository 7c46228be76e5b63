//! Opening the database, and telling apart the reasons why it does not open.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::StoreError;

/// What sled may keep of the database in memory. The whole of a mesh's log and snapshot fits, and an idle agent should
/// stay below 20 MB.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// How often sled tidies its file. Every flush that matters is asked for by name, so the wish was to switch this thread
/// off. But it is also the only caller of sled's garbage collector, which frees segments that a few long-lived records
/// hold. A log that is purged leaves whole segments free and did without it (2.5 MB after 30,000 entries either way);
/// other tables may not, and waking every ten seconds cost 0.1 ms each time.
const TIDY_EVERY_MS: u64 = 10_000;

/// How long a lock may stay taken. A database that was just closed in this process gives its lock back a moment later.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How long between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(20);

pub(super) async fn open(directory: &Path) -> Result<(sled::Db, File), StoreError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let path = directory.to_path_buf();
        // Recovery reads the whole file, and on a damaged one sled may also panic, which ends this task alone.
        let opened = tokio::task::spawn_blocking(move || open_once(&path)).await;
        match opened.unwrap_or_else(|panicked| Err(damaged(directory, &panicked))) {
            Err(StoreError::InUse { .. }) if Instant::now() < deadline => tokio::time::sleep(LOCK_RETRY).await,
            done => return done,
        }
    }
}

fn open_once(directory: &Path) -> Result<(sled::Db, File), StoreError> {
    fs::create_dir_all(directory).map_err(|error| not_writable(directory, &error))?;
    let config = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).flush_every_ms(Some(TIDY_EVERY_MS));
    let database = config.open().map_err(|error| explain(directory, error))?;
    let file = File::open(directory.join("db")).map_err(|error| StoreError::io(directory, &error))?;
    sync_names(directory).map_err(|error| StoreError::io(directory, &error))?;
    Ok((database, file))
}

/// A file whose name is not on the disk is lost with all its flushed content, so the names are synced too.
fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory.join("conf"))?.sync_all()?;
    File::open(directory)?.sync_all()?;
    match directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn explain(directory: &Path, error: sled::Error) -> StoreError {
    match error {
        // sled wraps the refused lock into an error of kind `Other`; only its text tells.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::InUse { directory: directory.to_path_buf() }
        }
        sled::Error::Io(error) if is_refusal(error.kind()) => not_writable(directory, &error),
        sled::Error::Io(error) if error.kind() != ErrorKind::UnexpectedEof => StoreError::io(directory, &error),
        damage => damaged(directory, &damage),
    }
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory)
}

fn not_writable(directory: &Path, error: &io::Error) -> StoreError {
    StoreError::NotWritable { directory: directory.to_path_buf(), why: error.to_string() }
}

fn damaged(directory: &Path, why: &impl ToString) -> StoreError {
    StoreError::Damaged { directory: directory.to_path_buf(), why: why.to_string() }
}
