use std::fs;
use std::time::{Duration, Instant};

use super::record::PIECE_BYTES;
use super::{Store, StoreError};

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    (directory, store)
}

#[tokio::test]
async fn records_of_every_length_come_back_after_a_restart() {
    let (directory, store) = store().await;
    let lengths = [0, 1, PIECE_BYTES - 9, PIECE_BYTES - 8, PIECE_BYTES, 3 * PIECE_BYTES, 1_000_000];
    let body = |length: usize| (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<u8>>();
    let table = store.table("t").unwrap();
    for (key, length) in (0..).zip(lengths) {
        table.put_bytes(key, &body(length)).unwrap();
    }
    store.flush().await.unwrap();
    drop((store, table));

    let store = Store::open(directory.path()).await.unwrap();
    let table = store.table("t").unwrap();
    for (key, length) in (0..).zip(lengths) {
        assert_eq!(table.get_bytes(key).unwrap(), Some(body(length)), "length {length}");
    }
    let keys: Vec<u64> = table.keys(1..4).map(Result::unwrap).collect();
    assert_eq!(keys, [1, 2, 3]);
    table.remove(6).unwrap();
    assert_eq!(table.get_bytes(6).unwrap(), None);
    assert_eq!(table.keys(..).next_back().unwrap().unwrap(), 5);
    let side_files = fs::read_dir(directory.path().join("blobs")).unwrap().count();
    assert_eq!(side_files, 0, "sled would not sync them");
}

#[tokio::test]
async fn many_middling_records_never_make_a_side_file() {
    let (directory, store) = store().await;
    let table = store.table("t").unwrap();
    for key in 0..400 {
        table.put_bytes(key * 7 % 400, &vec![7; 3 * PIECE_BYTES + 100]).unwrap();
        if key % 50 == 0 {
            store.flush().await.unwrap();
        }
    }
    for key in 0..300 {
        table.remove(key).unwrap();
    }
    store.flush().await.unwrap();
    assert_eq!(fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_record_that_a_crash_cut_short_was_never_there() {
    let (_directory, store) = store().await;
    let table = store.table("t").unwrap();
    table.put_bytes(1, b"whole").unwrap();
    store.0.database.open_tree("t").unwrap().insert(super::record::piece_key(2, 1), b"rest").unwrap();
    assert_eq!(table.get_bytes(2).unwrap(), None);
    assert_eq!(table.keys(..).map(Result::unwrap).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn every_flipped_byte_of_a_record_is_found() {
    let (_directory, store) = store().await;
    let table = store.table("t").unwrap();
    let tree = store.0.database.open_tree("t").unwrap();
    table.put(7, &vec![1_u64 << 40; 600]).unwrap();
    for piece in 0..2 {
        let key = super::record::piece_key(7, piece);
        let whole = tree.get(key).unwrap().expect("it has as many pieces").to_vec();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            tree.insert(key, flipped).unwrap();
            let read = table.get::<Vec<u64>>(7);
            assert!(matches!(read, Err(StoreError::Unreadable { key: 7, .. })), "piece {piece}, byte {at}: {read:?}");
        }
        tree.insert(key, whole).unwrap();
    }
    assert!(table.get::<Vec<u64>>(7).is_ok());
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_directory_is_in_use() {
    let (directory, _store) = store().await;
    let started = Instant::now();
    let second = Store::open(directory.path()).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    let error = second.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(error.to_string().starts_with("another agent is using the state directory"));
}

#[test]
fn a_full_disk_is_said_in_plain_words() {
    let first = std::io::Error::from_raw_os_error(28);
    let copied = std::io::Error::new(first.kind(), format!("{first:?}"));
    for (error, said) in [(first, "No space left on device (os error 28)"), (copied, "no storage space")] {
        let error = StoreError::sled("/state".as_ref(), &sled::Error::Io(error));
        assert_eq!(error.to_string(), format!("the state directory /state failed: {said}"));
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_directory_is_not_writable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file.path().join("state")).await.unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_database_file_is_an_error_or_a_prefix_but_never_a_wrong_record() {
    let (directory, store) = store().await;
    let table = store.table("t").unwrap();
    for key in 0..200 {
        table.put(key, &vec![key; 50]).unwrap();
    }
    store.flush().await.unwrap();
    drop((store, table));
    let whole = fs::read(directory.path().join("db")).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..30 {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join("conf"), copy.path().join("conf")).unwrap();
        let mut damaged = whole.clone();
        let at = random.usize(..damaged.len());
        damaged[at] ^= 1 << random.u8(..8);
        fs::write(copy.path().join("db"), damaged).unwrap();
        let Ok(store) = Store::open(copy.path()).await else {
            continue;
        };
        let Ok(table) = store.table("t") else { continue };
        for (count, key) in (0_u64..).zip(table.keys(..)) {
            let Ok(key) = key else { break };
            let Ok(record) = table.get::<Vec<u64>>(key) else { break };
            assert_eq!((key, record), (count, Some(vec![count; 50])), "flipped a bit of byte {at}");
        }
    }
}
