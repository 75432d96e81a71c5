//! Settings of a store in an SQLite file: the path, the pools, and the pragmas of their connections.

use std::path::PathBuf;
use std::time::Duration;

use pilothouse_core::ports::StorageResult;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::SqlxStorage;

/// Default number of connections for reads. Measured: 16 keep some readers awake at any time; with 4, a quarter fewer
/// requests are answered.
const READERS: u32 = 16;
/// Checkpoint threshold in pages: 32 MiB. The writer waits for the copying, and a page written often is copied seldom.
const CHECKPOINT: &str = "8192";
/// Busy time-out: the wait for another process that writes.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// Time-out for getting a connection from a pool.
const ACQUIRE: Duration = Duration::from_secs(15);

/// Settings of a store in an SQLite file. All have defaults but the file.
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteSettings {
    pub(super) path: PathBuf,
    readers: u32,
    pub(super) watches_content: bool,
}

impl SqliteSettings {
    /// Takes the path of the database file, which is created where it is missing; its folder has to exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: READERS, watches_content: false }
    }

    /// Sets the number of reads and snapshots at the same time: at least 1, 16 by default; more wait. Each is a
    /// connection with a thread and a page cache of its own.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Has the store stop within a second also when its file is overwritten in place, as by `cp`, and not only when another
    /// takes its place. Keeps one more file open until the process ends, and uses SQLite's `user_version`.
    pub fn watch_content(mut self) -> Self {
        self.watches_content = true;
        self
    }

    /// Opens the store. Call [`SqlxStorage::migrate`] before use.
    pub async fn open(self) -> StorageResult<SqlxStorage> {
        SqlxStorage::open_sqlite(self).await
    }

    /// Options of the pool with the one connection that writes.
    pub(super) fn writer(&self) -> (SqlitePoolOptions, SqliteConnectOptions) {
        (pool(1), self.connection())
    }

    /// Options of the pool that reads.
    pub(super) fn readers_pool(&self) -> (SqlitePoolOptions, SqliteConnectOptions) {
        (pool(self.readers), self.connection().pragma("query_only", "ON"))
    }

    fn connection(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("wal_autocheckpoint", CHECKPOINT)
            .optimize_on_close(true, None)
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE)
}
