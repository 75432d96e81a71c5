//! SQLite: one writer, many readers, and commits that share one flush to the disk.
//!
//! The writer commits with `synchronous = NORMAL`, which leaves the commit in the write-ahead log without waiting for
//! the disk. Before it is acknowledged the log is flushed; all commits that arrive during one flush share the next.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{mpsc, oneshot};

use crate::database::refused;

/// How many snapshots may be open at once; more wait. Measured: with 16 some readers are always awake, with 4 a quarter
/// fewer requests are answered.
const READERS: u32 = 16;
/// How many pages the log may grow by before they are copied into the database, which the writer waits for: 32 MiB, so
/// that a page written often is copied seldom.
const CHECKPOINT: &str = "8192";
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// The pools of one database file.
#[derive(Clone, Debug)]
pub(crate) struct SqlitePools {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    flushes: mpsc::UnboundedSender<oneshot::Sender<bool>>,
    broken: Arc<AtomicBool>,
}

impl SqlitePools {
    /// Opens the file, making it where it is missing.
    pub(crate) async fn open(path: &Path) -> StorageResult<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("wal_autocheckpoint", CHECKPOINT)
            .optimize_on_close(true, None);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .acquire_timeout(Duration::from_secs(15))
        };
        let writer = connect_first(pool(1), &options).await.map_err(refused)?;
        let readers =
            pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(refused)?;
        let (flushes, requests) = mpsc::unbounded_channel();
        let broken = Arc::new(AtomicBool::new(false));
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        tokio::spawn(flush(log.into(), requests, broken.clone()));
        Ok(Self { writer, readers, flushes, broken })
    }

    /// Refuses after a flush that failed: what the disk holds is unknown then, and trying again would hide it.
    pub(crate) fn check(&self) -> StorageResult<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(StorageError::backend(
                "an earlier write did not reach the disk; the store has stopped",
            ));
        }
        Ok(())
    }

    /// Waits until everything committed so far is on the disk.
    pub(crate) async fn flushed(&self) -> StorageResult<()> {
        let (done, flushed) = oneshot::channel();
        let unknown = || StorageError::CommitUnknown("the log could not be flushed to the disk".into());
        self.flushes.send(done).map_err(|_| unknown())?;
        match flushed.await {
            Ok(true) => Ok(()),
            _ => Err(unknown()),
        }
    }
}

/// Makes the first connection, which gives a new file its log. While another process does that SQLite refuses at once,
/// whatever it was told about waiting.
async fn connect_first(pool: SqlitePoolOptions, options: &SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let deadline = Instant::now() + BUSY;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error)) if is_busy(&*error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            connected => return connected,
        }
    }
}

/// `SQLITE_BUSY`, in the low byte of an extended code.
fn is_busy(error: &dyn DatabaseError) -> bool {
    error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

/// Flushes the log once for all that wait, again and again.
async fn flush(
    log: PathBuf,
    mut requests: mpsc::UnboundedReceiver<oneshot::Sender<bool>>,
    broken: Arc<AtomicBool>,
) {
    let mut file: Option<Arc<File>> = None;
    while let Some(first) = requests.recv().await {
        let mut waiting = vec![first];
        while let Ok(next) = requests.try_recv() {
            waiting.push(next);
        }
        let (log, open) = (log.clone(), file.take());
        let flushed = tokio::task::spawn_blocking(move || {
            let open = match open {
                Some(open) => open,
                None => Arc::new(File::open(log)?),
            };
            open.sync_data()?;
            Ok::<_, std::io::Error>(open)
        });
        file = match flushed.await {
            Ok(Ok(file)) if !broken.load(Ordering::Acquire) => Some(file),
            _ => {
                broken.store(true, Ordering::Release);
                None
            }
        };
        for done in waiting {
            // Whoever stopped waiting does not need the answer.
            let _ = done.send(file.is_some());
        }
    }
}
