//! Faults of the disk under an SQLite store: no room, a file that is replaced or deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pilothouse_conformance::rows::task;
use pilothouse_core::ops::Task;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::{Storage, StorageError};
use pilothouse_core::{Page, error_chain};
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::skip_test;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tempfile::TempDir;

use crate::within;

/// Writes a task that takes so many bytes.
async fn insert(storage: &SqlxStorage, number: i64, bytes: usize) -> Result<(), StorageError> {
    let mut work = storage.begin().await?;
    work.tasks().insert(&Task { content: "x".repeat(bytes), ..task(number) }).await?;
    work.commit().await
}

async fn numbers(storage: &SqlxStorage) -> Vec<String> {
    let mut snapshot = storage.read().await.unwrap();
    let tasks = snapshot.tasks().list(&TaskFilter::default(), Page::at(0, 1000)).await.unwrap();
    tasks.into_iter().map(|task| task.task_id.to_string()).collect()
}

/// Options that a store asks of an embedder's connections.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
}

/// SQLite rolls back by itself then, so that the connection's transaction is another than its user believes.
#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_when_there_is_room_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let is_full = Arc::new(AtomicBool::new(false));
    let options = options(&path);
    let readers = SqlitePoolOptions::new().connect_lazy_with(options.clone().pragma("query_only", "ON"));
    let writer = SqlitePoolOptions::new().max_connections(1).after_connect({
        let is_full = is_full.clone();
        move |connection, _| {
            // No database is smaller than it is: 1 stands for its size now.
            let pages = if is_full.load(Ordering::Relaxed) { "1" } else { "100000" };
            let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            Box::pin(async move { sqlx::raw_sql(limit).execute(connection).await.map(|_| ()) })
        }
    });
    let writer = writer.connect_lazy_with(options);
    let storage = SqlxStorage::from_sqlite_pools(writer.clone(), readers).await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1, 1).await.unwrap();
    storage.check_writable().await.unwrap();
    is_full.store(true, Ordering::Relaxed);
    drop(writer.acquire().await.unwrap().detach());
    for number in 2..6 {
        let refused = insert(&storage, number, 100_000).await.unwrap_err();
        assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
        assert!(error_chain(&refused).contains("full"), "{refused:?}");
    }
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&Task { content: "x".repeat(100_000), ..task(6) }).await.unwrap_err();
    work.tasks().insert(&task(7)).await.unwrap_err();
    work.commit().await.unwrap_err();
    assert_eq!(
        numbers(&storage).await.len(),
        1,
        "what follows a failure does not stand outside of its transaction"
    );
    is_full.store(false, Ordering::Relaxed);
    insert(&storage, 8, 100_000).await.unwrap();
    assert_eq!(numbers(&storage).await.len(), 2);
}

/// A file system of a few megabytes, unmounted when it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(test: &str, size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                skip_test(test, &format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                skip_test(test, &format!("mount: {error}"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let filled = fs::write(self.path().join("filler"), vec![0; 8 << 20]);
        assert!(filled.is_err(), "the disk is larger than it should be");
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the connections of the store may still be closing.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "not unmounted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_ends() {
    let Some(disk) = SmallDisk::mount("a_full_disk_loses_nothing_and_ends", "size=3m") else { return };
    let storage = SqlxStorage::sqlite(disk.path().join("pilothouse.db")).await.unwrap();
    storage.migrate().await.unwrap();
    let mut written = Vec::new();
    for round in 0..5_i64 {
        storage.check_writable().await.unwrap();
        disk.fill();
        let writers: Vec<_> = (0..20)
            .map(|n| {
                let storage = storage.clone();
                tokio::spawn(async move {
                    let number = round * 100 + n;
                    (number, insert(&storage, number, 4000).await.is_ok())
                })
            })
            .collect();
        let mut refused = 0;
        for writer in writers {
            let (number, is_written) = writer.await.unwrap();
            refused += usize::from(!is_written);
            written.extend(is_written.then_some(number));
        }
        assert!(refused > 0, "the disk was not full");
        let mut probes = 0;
        while storage.check_writable().await.is_ok() {
            // What room the log has left is good for writes as well.
            probes += 1;
            assert!(probes < 1000, "the probe does not notice");
        }
        disk.free();
        let freed = Instant::now();
        insert(&storage, round * 100 + 50, 4000).await.unwrap();
        assert!(freed.elapsed() < Duration::from_secs(20), "writes went on after {:?}", freed.elapsed());
        written.push(round * 100 + 50);
    }
    let mut expected: Vec<_> = written.iter().map(|number| task(*number).task_id.to_string()).collect();
    let mut found = numbers(&storage).await;
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "exactly what was acknowledged is there");
    storage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_taken_away_stops_the_store() {
    type Take = fn(&Path);
    let cases: [(&str, Take); 4] = [
        ("deleted", |file| fs::remove_file(file).unwrap()),
        ("deleted", |file| fs::remove_dir_all(file.parent().unwrap()).unwrap()),
        ("replaced", |file| {
            let other = file.with_extension("other");
            fs::copy(file, &other).unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("deleted", |file| fs::rename(file, file.with_extension("moved")).unwrap()),
    ];
    for (word, take) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data").join("pilothouse.db");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let storage = SqlxStorage::sqlite(&path).await.unwrap();
        storage.migrate().await.unwrap();
        insert(&storage, 1, 1).await.unwrap();
        take(&path);
        let stopped = tokio::time::timeout(Duration::from_secs(1), storage.stopped()).await;
        let reason = error_chain(&stopped.expect("not noticed within a second"));
        assert!(reason.contains(word), "{reason}");
        assert!(matches!(storage.begin().await, Err(StorageError::Stopped(_))), "it takes no writes");
        assert!(matches!(storage.check_writable().await, Err(StorageError::Stopped(_))), "and knows it");
        assert!(matches!(storage.read().await, Err(StorageError::Stopped(_))), "it answers no reads");
    }
}

/// A commit between the replacement and the next look at the file is not acknowledged either.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    let unknown = work.commit().await.unwrap_err();
    assert!(matches!(unknown, StorageError::CommitUnknown(_)), "{unknown:?}");
    assert!(error_chain(&unknown).contains("replaced"), "{unknown:?}");
}

/// SQLite forgets its log when the last connection is closed, and begins another with the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_begun_again_is_the_one_that_is_flushed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let options = options(&path);
    let readers = SqlitePoolOptions::new().connect_lazy_with(options.clone().pragma("query_only", "ON"));
    let writer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let storage = SqlxStorage::from_sqlite_pools(writer.clone(), readers.clone()).await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1, 1).await.unwrap();
    let log = folder.path().join("pilothouse.db-wal");
    writer.acquire().await.unwrap().close().await.unwrap();
    while let Some(reader) = readers.try_acquire() {
        reader.close().await.unwrap();
    }
    within(Duration::from_secs(5), async || !log.exists()).await;
    insert(&storage, 2, 1).await.unwrap();
    assert_eq!(numbers(&storage).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_private_to_their_owner() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1, 1).await.unwrap();
    let copy = folder.path().join("copy.db");
    storage.backup(copy.to_str().unwrap()).await.unwrap();
    for name in ["pilothouse.db", "pilothouse.db-wal", "pilothouse.db-shm", "copy.db"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let elsewhere = SqlxStorage::sqlite(folder.path().join("missing/pilothouse.db")).await.unwrap_err();
    assert!(error_chain(&elsewhere).contains("missing/pilothouse.db"), "{elsewhere:?}");
}
