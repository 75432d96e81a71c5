//! The end of a store: closed, or dropped with its last clone; and stores on pools of an embedder.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use pilothouse_conformance::rows::task;
use pilothouse_core::Page;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::{Storage, StorageError};
use pilothouse_storage_sqlx::{PostgresSettings, SqlxStorage};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tempfile::TempDir;

use crate::within;

async fn insert(storage: &SqlxStorage, number: i64) -> Result<(), StorageError> {
    let mut work = storage.begin().await?;
    work.tasks().insert(&task(number)).await?;
    work.commit().await
}

async fn tasks(storage: &SqlxStorage) -> usize {
    let mut snapshot = storage.read().await.unwrap();
    snapshot.tasks().list(&TaskFilter::default(), Page::at(0, 1000)).await.unwrap().len()
}

/// The descriptors of this process on a database file, its log and its shared memory.
fn open_files(database: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with(&*database.to_string_lossy())).count()
}

async fn sessions(observer: &PgPool) -> i64 {
    let others = "SELECT COUNT(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name <> 'observer'";
    sqlx::query_scalar(others).fetch_one(observer).await.unwrap()
}

async fn observer(url: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new().connect_with(options.application_name("observer")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ends_with_the_last_clone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    let mut signals = storage.signals();
    let clone = storage.clone();
    drop(storage);
    insert(&clone, 1).await.unwrap();
    assert!(open_files(&path) > 0, "a clone keeps it open");
    drop(clone);
    assert_eq!(signals.next().await, None, "waiters are told by the end of their stream");
    within(Duration::from_secs(5), async || open_files(&path) == 0).await;
    let alive = async || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before;
    within(Duration::from_secs(5), alive).await;
}

/// Closes a store while a transaction is open, which is still committed.
async fn assert_closes_after_what_is_open(storage: &SqlxStorage) {
    let mut work = storage.begin().await.unwrap();
    let closing = tokio::spawn({
        let storage = storage.clone();
        async move { storage.close().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!closing.is_finished(), "it waits for the transaction");
    work.tasks().insert(&task(1)).await.unwrap();
    work.commit().await.unwrap();
    closing.await.unwrap();
    assert!(matches!(storage.begin().await, Err(StorageError::Stopped(_))), "no transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_closes_after_what_is_open() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    assert_closes_after_what_is_open(&storage).await;
    assert!(matches!(storage.read().await, Err(StorageError::Stopped(_))), "no snapshot");
    assert!(matches!(storage.ready().await, Err(StorageError::Stopped(_))), "not ready");
    assert!(matches!(storage.stopped().await, StorageError::Stopped(_)), "it says so itself");
    assert!(!folder.path().join("pilothouse.db-wal").exists(), "everything is in the database file");
    assert_eq!(open_files(&path), 0, "its connections are closed");
    assert_eq!(tasks(&SqlxStorage::sqlite(&path).await.unwrap()).await, 1);
}

fn pools(path: &Path, connections: u32) -> [SqlitePool; 2] {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true);
    let readers = options.clone().pragma("query_only", "ON");
    let pool = |options| SqlitePoolOptions::new().max_connections(connections).connect_lazy_with(options);
    [pool(options), pool(readers)]
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_uses_an_embedders_pools() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("embedder.db");
    let [writer, readers] = pools(&path, 1);
    let storage = SqlxStorage::from_sqlite_pools(writer.clone(), readers.clone()).await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1).await.unwrap();
    assert_eq!(tasks(&storage).await, 1);
    storage.close().await;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM task").fetch_one(&writer).await.unwrap();
    assert_eq!(count, 1, "the pools stay open");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_refuses_pools_that_would_break_promises() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("embedder.db");
    let [writer, readers] = pools(&path, 1);
    let [two_writers, _] = pools(&path, 2);
    let [_, elsewhere] = pools(&folder.path().join("other.db"), 1);
    let lax = SqliteConnectOptions::new().filename(&path).foreign_keys(false);
    let lax = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(lax);
    let journal =
        SqliteConnectOptions::new().filename(folder.path().join("journal.db")).create_if_missing(true);
    let journal = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(journal);
    let cases = [
        (two_writers, readers.clone(), "one connection"),
        (writer.clone(), elsewhere, "the same file"),
        (writer.clone(), writer.clone(), "query_only"),
        (lax, readers, "foreign_keys"),
        (journal.clone(), journal, "journal_mode"),
    ];
    // The file comes into being with its log.
    sqlx::query("CREATE TABLE embedder (id INTEGER)").execute(&writer).await.unwrap();
    for (writer, readers, word) in cases {
        let refused = SqlxStorage::from_sqlite_pools(writer, readers).await.unwrap_err();
        let reason = std::error::Error::source(&refused).unwrap().to_string();
        assert!(reason.contains(word), "{reason} does not say {word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_ends_with_the_last_clone() {
    let Some(postgres) = pilothouse_test_support::postgres_or_skip("postgres_ends_with_the_last_clone")
    else {
        return;
    };
    let url = postgres.database().url;
    let observer = observer(&url).await;
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let clone = storage.clone();
    drop(storage);
    insert(&clone, 1).await.unwrap();
    within(Duration::from_secs(5), async || sessions(&observer).await >= 2).await;
    drop(clone);
    within(Duration::from_secs(5), async || sessions(&observer).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_closes_after_what_is_open() {
    let Some(postgres) = pilothouse_test_support::postgres_or_skip("postgres_closes_after_what_is_open")
    else {
        return;
    };
    let url = postgres.database().url;
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.migrate().await.unwrap();
    assert_closes_after_what_is_open(&storage).await;
    let observer = observer(&url).await;
    within(Duration::from_secs(5), async || sessions(&observer).await == 0).await;
    assert_eq!(tasks(&SqlxStorage::postgres(&url).await.unwrap()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_uses_an_embedders_pool() {
    let Some(postgres) = pilothouse_test_support::postgres_or_skip("postgres_uses_an_embedders_pool") else {
        return;
    };
    let options: PgConnectOptions = postgres.database().url.parse().unwrap();
    let unprepared = PgPool::connect_with(options.clone()).await.unwrap();
    let refused = SqlxStorage::from_postgres_pool(unprepared).await.unwrap_err();
    let reason = std::error::Error::source(&refused).unwrap().to_string();
    assert!(reason.contains("search_path"), "{reason}");
    let pool = PgPool::connect_with(PostgresSettings::session(options)).await.unwrap();
    let storage = SqlxStorage::from_postgres_pool(pool.clone()).await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1).await.unwrap();
    storage.close().await;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM task").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 1, "the pool stays open");
}
