//! The store in SQLite or Postgres: opening, closing, transactions and wake-ups.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use pilothouse_core::ports::{
    Clock, Repositories, Signal, Storage, StorageError, StorageResult, StoreInfo, SystemClock, Topic,
    UnitOfWork,
};
use tokio::sync::{RwLock, broadcast};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::database::Database;
use crate::migrate;
use crate::statement::statements;
use crate::stop::{Reason, Stop};
use crate::transaction::Transaction;
use crate::value::values;

#[cfg(feature = "postgres")]
use crate::postgres::{PostgresPool, PostgresSettings};
#[cfg(feature = "sqlite")]
use crate::sqlite::{SqlitePools, SqliteSettings};

/// Wake-ups that a slow receiver may fall behind before it gets [`Signal::Lost`] instead.
const SIGNALS: usize = 1024;

statements! {
    PROBE = "INSERT INTO write_probe (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at";
}

/// Store in SQLite or Postgres. Clones share one store; its background tasks and connections end with the last clone,
/// or with [`SqlxStorage::close`].
#[derive(Clone)]
pub struct SqlxStorage(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Arc<dyn Clock>,
    signals: broadcast::Sender<Signal>,
    stop: Stop,
    /// Read-locked by every write transaction until it ends; closing the store takes the write lock.
    writing: Arc<RwLock<()>>,
    /// Background tasks, aborted on drop.
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for SqlxStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        f.debug_struct("SqlxStorage").finish_non_exhaustive()
    }
}

/// Parts of a store that exist before its pools.
struct Foundation {
    signals: broadcast::Sender<Signal>,
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Foundation {
    fn new() -> Self {
        Self { signals: broadcast::channel(SIGNALS).0, stop: Stop::default(), tasks: JoinSet::new() }
    }

    fn store(self, database: Database) -> SqlxStorage {
        let Self { signals, stop, tasks } = self;
        let (clock, writing) = (Arc::new(SystemClock), Arc::default());
        SqlxStorage(Arc::new(Inner { database, clock, signals, stop, writing, tasks: Mutex::new(tasks) }))
    }
}

#[cfg(feature = "sqlite")]
impl SqlxStorage {
    /// Opens an SQLite database file, which is created where it is missing, with the defaults of [`SqliteSettings`].
    /// Call [`SqlxStorage::migrate`] before use.
    pub async fn sqlite(path: impl AsRef<Path>) -> StorageResult<Self> {
        SqliteSettings::new(path.as_ref()).open().await
    }

    /// Builds a store on an embedder's pools of one SQLite file. They stay open when the store is closed.
    ///
    /// `writer` has at most one connection, with `journal_mode = WAL` and `foreign_keys = ON`; the connections of
    /// `readers` have `query_only = ON`. Pools without these are refused. `synchronous = NORMAL` is enough, because the
    /// store flushes the log itself before it acknowledges a commit. Set a `busy_timeout` where other processes write.
    /// An embedder that writes should do so through `writer`: commits on other connections wake the store's waiters in
    /// vain.
    pub async fn from_sqlite_pools(
        writer: sqlx::SqlitePool,
        readers: sqlx::SqlitePool,
    ) -> StorageResult<Self> {
        let mut base = Foundation::new();
        let pools = SqlitePools::adopt(writer, readers, &base.stop, &base.signals, &mut base.tasks).await?;
        Ok(base.store(Database::Sqlite(pools)))
    }

    pub(crate) async fn open_sqlite(settings: SqliteSettings) -> StorageResult<Self> {
        let mut base = Foundation::new();
        let pools = SqlitePools::open(&settings, &base.stop, &base.signals, &mut base.tasks).await?;
        Ok(base.store(Database::Sqlite(pools)))
    }

    /// Writes a consistent copy of the SQLite database into a new or an empty file, while it is in use.
    pub async fn backup(&self, file: &str) -> StorageResult<()> {
        match &self.0.database {
            Database::Sqlite(pools) => pools.copy_to(file).await,
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => Err(StorageError::backend("Postgres has its own tools for backups")),
        }
    }
}

#[cfg(feature = "postgres")]
impl SqlxStorage {
    /// Connects to Postgres by a `postgres://` URL, with the defaults of [`PostgresSettings`]. All tables live in the
    /// schema `pilothouse`. Call [`SqlxStorage::migrate`] before use.
    pub async fn postgres(url: &str) -> StorageResult<Self> {
        PostgresSettings::new(url)?.connect().await
    }

    /// Builds a store on an embedder's pool, which stays open when the store is closed.
    ///
    /// Open its connections with the options of [`PostgresSettings::session`]; a pool without the schema in its search
    /// path is refused. The store opens one connection more with the options of the pool, which listens for wake-ups.
    pub async fn from_postgres_pool(pool: sqlx::PgPool) -> StorageResult<Self> {
        let mut base = Foundation::new();
        let pool = PostgresPool::adopt(pool, &base.signals, &mut base.tasks).await?;
        Ok(base.store(Database::Postgres(pool)))
    }

    pub(crate) async fn connect_postgres(settings: PostgresSettings) -> StorageResult<Self> {
        let mut base = Foundation::new();
        let pool = PostgresPool::connect(settings, &base.signals, &mut base.tasks).await?;
        Ok(base.store(Database::Postgres(pool)))
    }
}

impl SqlxStorage {
    /// Applies the missing migrations and returns their names. Renews the epoch where the database may hold another history
    /// than was last served, as after a restore or a fail-over.
    pub async fn migrate(&self) -> StorageResult<Vec<&'static str>> {
        let mut work = self.write().await?;
        let now = self.0.clock.now();
        let done = migrate::migrate(&mut work.connection, now.timestamp_micros()).await?;
        self.0.database.verify_history(&mut work.connection, now).await?;
        Box::new(work).commit().await?;
        self.0.database.begin_mark().await;
        Ok(done)
    }

    /// Brings a restored backup to this version's schema and renews its epoch, beyond `known`; the new epoch.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn migrate_restored(
        &self,
        known: pilothouse_core::Epoch,
    ) -> StorageResult<pilothouse_core::Epoch> {
        let mut work = self.write().await?;
        let now = self.0.clock.now();
        migrate::migrate(&mut work.connection, now.timestamp_micros()).await?;
        let epoch = crate::history::renew(&mut work.connection, known, now, "a backup was restored").await?;
        Box::new(work).commit().await?;
        self.0.database.begin_mark().await;
        Ok(epoch)
    }

    /// Closes the store: refuses new transactions with [`StorageError::Stopped`], waits for open transactions and
    /// snapshots, flushes what was committed, ends the background tasks and closes the connections. On SQLite the last
    /// connection copies the log into the database file.
    pub async fn close(&self) {
        self.0.stop.stop(Reason::Closed);
        let _nobody_writes = self.0.writing.write().await;
        if let Err(error) = self.0.database.flush_rest().await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the last writes to a closed store may be lost");
        }
        let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        self.0.database.write_mark().await;
        self.0.database.close().await;
    }

    /// Waits until the store stops, and returns the reason as [`StorageError::Stopped`]: a failed flush to the disk, an
    /// SQLite file that was replaced or deleted, or [`SqlxStorage::close`]. Only opening the store again helps, so a
    /// server ends its process.
    pub async fn stopped(&self) -> StorageError {
        StorageError::Stopped(self.0.stop.stopped().await.into())
    }

    async fn write(&self) -> StorageResult<Transaction> {
        let writing = self.0.writing.clone().read_owned().await;
        self.0.stop.check()?;
        let connection = self.0.database.write().await?;
        Ok(Transaction::write(connection, self.clone(), writing))
    }

    /// Commits; on SQLite waits for the flush after releasing the writer.
    pub(crate) async fn commit(&self, connection: Connection) -> StorageResult<()> {
        let begun = std::time::Instant::now();
        connection.commit().await?;
        let committed = begun.elapsed();
        self.0.database.flushed().await?;
        // Of SQLite the flush is a part of its own; Postgres flushes within the commit.
        metrics::histogram!("pilothouse_store_commit_seconds").record(committed.as_secs_f64());
        Ok(())
    }

    /// Time of this process, which a store on the same machine shares.
    pub(crate) fn local_time(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }
}

#[async_trait]
impl Storage for SqlxStorage {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        Ok(Box::new(self.write().await?))
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        self.0.stop.check()?;
        Ok(Box::new(Transaction::read(self.0.database.snapshot().await?)))
    }

    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        self.0.stop.check()?;
        Ok(Box::new(Transaction::read(self.0.database.peek().await?)))
    }

    async fn announce(&self, topics: &[Topic]) {
        match &self.0.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(_) => {
                for topic in topics {
                    // Sending fails only without receivers.
                    let _ = self.0.signals.send(Signal::Changed(*topic));
                }
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(pool) => {
                if let Err(error) = pool.announce(topics).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a wake-up was lost; waiters find out by polling");
                }
            }
        }
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        Box::pin(futures_util::stream::unfold(self.0.signals.subscribe(), |mut signals| async {
            match signals.recv().await {
                Ok(signal) => Some((signal, signals)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Signal::Lost, signals)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }

    fn info(&self) -> StoreInfo {
        let kind = match &self.0.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(_) => "sqlite",
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => "postgres",
        };
        StoreInfo { kind, schema: migrate::VERSION }
    }

    async fn ready(&self) -> StorageResult<()> {
        self.0.stop.check()?;
        migrate::check(&mut self.0.database.snapshot().await?).await
    }

    async fn check_writable(&self) -> StorageResult<()> {
        self.0.stop.check()?;
        // SQLite meets a full disk when it appends to its log, before any flush; a flush that fails stops the store.
        let now = self.local_time().timestamp_micros();
        self.0.database.writer().await?.execute_alone(PROBE, values![now]).await?;
        self.0.stop.check()
    }
}
