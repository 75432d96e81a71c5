//! One SQLite file: several processes on it, and a disk that does not answer.

use std::sync::{Arc, Mutex};

use pilothouse_conformance::rows::task;
use pilothouse_core::Page;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::{Storage, StorageError};
use pilothouse_storage_sqlx::SqlxStorage;
use tempfile::TempDir;

/// Two stores on one file stand for two processes: each has a writer of its own. A transaction that reads before it
/// writes waits for the other's instead of failing on what it has read meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_processes_take_turns() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let stores = [SqlxStorage::sqlite(&path).await.unwrap(), SqlxStorage::sqlite(&path).await.unwrap()];
    stores[0].migrate().await.unwrap();
    let writers: Vec<_> = (0..16_u8)
        .map(|n| {
            let storage = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    let mut work = storage.begin().await.unwrap();
                    work.tasks().list(&TaskFilter::default(), Page::default()).await.unwrap();
                    work.tasks().insert(&task(i64::from(n) * 5 + round)).await.unwrap();
                    work.commit().await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for storage in &stores {
        let mut snapshot = storage.read().await.unwrap();
        assert_eq!(snapshot.tasks().list(&TaskFilter::default(), Page::at(0, 1000)).await.unwrap().len(), 80);
    }
}

/// A commit is acknowledged only when the log has reached the disk; when it cannot, nobody knows what is kept, so the
/// store says so and takes no more.
#[tokio::test]
async fn a_log_that_cannot_be_flushed_stops_the_store() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    SqlxStorage::sqlite(&path).await.unwrap().migrate().await.unwrap();
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    // SQLite goes on writing to the file it has open; whoever wants to flush it does not find it.
    std::fs::remove_file(folder.path().join("pilothouse.db-wal")).unwrap();
    let unknown = work.commit().await.unwrap_err();
    assert!(matches!(unknown, StorageError::CommitUnknown(_)), "{unknown:?}");
    assert!(matches!(storage.begin().await, Err(StorageError::Stopped(_))), "it takes no more");
    let reason = storage.stopped().await;
    let reason = std::error::Error::source(&reason).unwrap();
    assert!(reason.to_string().contains("flushed"), "{reason}");
    assert!(reason.source().is_some(), "it says what the disk said");
}

/// The file itself is closed and opened again, as by another process.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_hold_what_they_should_when_the_file_is_opened_again() {
    let last: Mutex<Option<(u64, TempDir)>> = Mutex::default();
    let open = async |seed: u64| {
        let path = {
            let mut last = last.lock().unwrap();
            if last.as_ref().is_none_or(|(of, _)| *of != seed) {
                *last = Some((seed, TempDir::new().unwrap()));
            }
            last.as_ref().unwrap().1.path().join("pilothouse.db")
        };
        let storage = SqlxStorage::sqlite(path).await.unwrap();
        storage.migrate().await.unwrap();
        let storage: Arc<dyn Storage> = Arc::new(storage);
        storage
    };
    pilothouse_conformance::model::nodes_have_what_they_should(open).await;
}
