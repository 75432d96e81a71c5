//! Pools of one database file: one writer, many readers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pilothouse_core::ports::{Signal, StorageError, StorageResult};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::file::{DatabaseFile, at, create_private, watch_file};
use super::flush::Flusher;
use super::lock::DatabaseLock;
use super::mark::{self, MarkFile};
use super::other_processes::watch_other_processes;
use super::overwritten::{Content, clear_number};
use super::settings::{BUSY, SqliteSettings};
use crate::connection::Connection;
use crate::error::refused;
use crate::session::Session;
use crate::stop::Stop;

/// Pools of one database file.
#[derive(Clone, Debug)]
pub(crate) struct SqlitePools {
    /// Pool of one connection: SQLite has one writer at a time.
    writer: SqlitePool,
    readers: SqlitePool,
    file: DatabaseFile,
    mark: MarkFile,
    flusher: Flusher,
    /// `None` where an embedder opened the file.
    lock: Arc<Mutex<Option<DatabaseLock>>>,
    /// Whether closing the store closes the pools.
    owned: bool,
}

impl SqlitePools {
    /// Opens the file, creating it where it is missing.
    pub(crate) async fn open(
        settings: &SqliteSettings,
        stop: &Stop,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> StorageResult<Self> {
        let lock = lock(settings.path.clone()).await?;
        create_private(&settings.path)?;
        let file = DatabaseFile::at(&settings.path)?;
        let (pool, options) = settings.writer();
        let writer = connect_first(pool, &options).await.map_err(refused)?;
        let (pool, options) = settings.readers_pool();
        let readers = pool.connect_with(options).await.map_err(refused)?;
        let content = if settings.watches_content {
            Some(Content::watch(&writer, &settings.path).await.map_err(refused)?)
        } else {
            None
        };
        tasks.spawn(watch_file(file.clone(), content, stop.clone()));
        Ok(Self::start([writer, readers], file, Some(lock), stop, signals, tasks))
    }

    /// Uses an embedder's pools, or refuses them where their connections lack a setting.
    pub(crate) async fn adopt(
        writer: SqlitePool,
        readers: SqlitePool,
        stop: &Stop,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> StorageResult<Self> {
        if writer.options().get_max_connections() != 1 {
            return Err(StorageError::backend("the pool of the writer must have one connection at most"));
        }
        if writer.connect_options().get_filename() != readers.connect_options().get_filename() {
            return Err(StorageError::backend("both pools must be of the same file"));
        }
        require(&writer, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", "journal_mode = WAL")
            .await?;
        require(&writer, "SELECT foreign_keys = 1 FROM pragma_foreign_keys", "foreign_keys = ON").await?;
        require(&readers, "SELECT query_only = 1 FROM pragma_query_only", "query_only = ON for readers")
            .await?;
        let file = DatabaseFile::at(writer.connect_options().get_filename())?;
        tasks.spawn(watch_file(file.clone(), None, stop.clone()));
        Ok(Self::start([writer, readers], file, None, stop, signals, tasks))
    }

    fn start(
        [writer, readers]: [SqlitePool; 2],
        file: DatabaseFile,
        lock: Option<DatabaseLock>,
        stop: &Stop,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        tasks.spawn(watch_other_processes(writer.clone(), signals.clone()));
        let mark = MarkFile::new(readers.clone(), file.clone());
        tasks.spawn(mark.clone().keep());
        let flusher = Flusher::start(file.clone(), stop.clone(), tasks);
        let owned = lock.is_some();
        Self { writer, readers, file, mark, flusher, lock: Arc::new(Mutex::new(lock)), owned }
    }

    /// Takes the connection that writes; waits until nobody else in this process has it.
    pub(crate) async fn writer(&self) -> StorageResult<Connection> {
        acquire(&self.writer, "other write transactions kept the writer busy for 15 s").await
    }

    /// Takes a connection for reads.
    pub(crate) async fn reader(&self) -> StorageResult<Connection> {
        acquire(&self.readers, "all connections for reads were in use for 15 s").await
    }

    /// Waits until everything committed so far is on the disk.
    pub(crate) async fn flushed(&self) -> StorageResult<()> {
        self.flusher.flushed().await
    }

    /// Flushes what relaxed commits left in the log; without a log there is nothing to flush.
    pub(crate) async fn flush_rest(&self) -> StorageResult<()> {
        if self.file.log().exists() { self.flushed().await } else { Ok(()) }
    }

    /// Writes a consistent copy into a new or an empty file.
    pub(crate) async fn copy_to(&self, file: &str) -> StorageResult<()> {
        create_private(file.as_ref())?;
        // It only reads the database, but SQLite takes it for a write.
        let options = self.readers.connect_options().as_ref().clone().pragma("query_only", "OFF");
        let mut connection = options.connect().await.map_err(refused)?;
        sqlx::query("VACUUM INTO $1").bind(file).execute(&mut connection).await.map_err(refused)?;
        connection.close().await.map_err(refused)?;
        clear_number(file.as_ref()).map_err(StorageError::backend)
    }

    /// Renews the epoch, in a write transaction, where the file was replaced by an older one or another store's.
    pub(crate) async fn verify_history(
        &self,
        connection: &mut Connection,
        now: DateTime<Utc>,
    ) -> StorageResult<()> {
        mark::verify(connection, self.file.path(), now).await
    }

    /// Writes the mark beside the file for the first time, after [`Self::verify_history`].
    pub(crate) async fn begin_mark(&self) {
        self.mark.begin().await;
    }

    /// Writes the newest state into the mark beside the file.
    pub(crate) async fn write_mark(&self) {
        self.mark.advance().await;
    }

    /// Closes the connections once they are idle, the writer last: the last one copies the log into the database. Then gives
    /// up the lock.
    pub(crate) async fn close(&self) {
        if self.owned {
            self.readers.close().await;
            self.writer.close().await;
            self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// Takes the lock beside the file. Waits on a thread that may block while a backup is restored.
async fn lock(path: PathBuf) -> StorageResult<DatabaseLock> {
    let locked =
        tokio::task::spawn_blocking(move || DatabaseLock::shared(&path).map_err(|error| at(&path, &error)));
    locked.await.map_err(StorageError::backend)?
}

/// Takes a connection; a time-out of the pool is reported with its cause.
async fn acquire(pool: &SqlitePool, busy: &'static str) -> StorageResult<Connection> {
    match pool.acquire().await {
        Ok(connection) => Ok(Connection::new(Session::Sqlite(connection))),
        Err(sqlx::Error::PoolTimedOut) => Err(StorageError::Unavailable(busy.into())),
        Err(error) => Err(refused(error)),
    }
}

/// Refuses a pool whose connections lack a setting. `question` answers 1 where they have it.
async fn require(pool: &SqlitePool, question: &'static str, setting: &str) -> StorageResult<()> {
    let answer: bool = sqlx::query_scalar(question).fetch_one(pool).await.map_err(refused)?;
    if answer {
        return Ok(());
    }
    Err(StorageError::backend(format!("the connections of the pool must be opened with {setting}")))
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
