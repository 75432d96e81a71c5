//! The store, its transactions and its wake-ups.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use pilothouse_core::account::{AccountRepository, AuditRepository, LoginFailureRepository, TokenRepository};
use pilothouse_core::cdn::{
    CdnRepository, CityRepository, CompanyRepository, CustomerRepository, DomainRepository, EdgeRepository,
    JobRepository, LogChunkRepository, LogSourceRepository, TrafficRepository,
};
use pilothouse_core::config::{
    AppKeyRepository, AppRepository, DeliveryRepository, GrantRepository, ItemRepository, NodeRepository,
    ReleaseRepository,
};
use pilothouse_core::ops::{MachineRepository, TaskRepository};
use pilothouse_core::ports::{
    Clock, LockKey, Repositories, Signal, Storage, StorageError, StorageResult, SystemClock, Topic,
    UnitOfWork,
};
use tokio::sync::broadcast;

use crate::database::{Connection, Database, refused};
use crate::migrate;
use crate::value::{time, values};

/// How many wake-ups a slow waiter may fall behind before it is told that it lost some.
const SIGNALS: usize = 1024;
/// The Postgres channel of the wake-ups.
#[cfg(feature = "postgres")]
const CHANNEL: &str = "pilothouse";
/// The Postgres schema that holds all tables.
#[cfg(feature = "postgres")]
const SCHEMA: &str = "pilothouse";
/// How often SQLite is asked whether another process has written.
#[cfg(feature = "sqlite")]
const POLL: Duration = Duration::from_millis(250);

/// A store in SQLite or Postgres. Clones are one store.
#[derive(Clone)]
pub struct SqlxStorage {
    database: Database,
    clock: Arc<dyn Clock>,
    signals: broadcast::Sender<Signal>,
}

impl fmt::Debug for SqlxStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        f.debug_struct("SqlxStorage").finish_non_exhaustive()
    }
}

impl SqlxStorage {
    /// Opens the SQLite database in a file, making it where it is missing. Call [`SqlxStorage::migrate`] before use.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: impl AsRef<Path>) -> StorageResult<Self> {
        let pools = crate::wal::SqlitePools::open(path.as_ref()).await?;
        let signals = broadcast::channel(SIGNALS).0;
        tokio::spawn(poll_file(pools.clone(), signals.clone()));
        Ok(Self { database: Database::Sqlite(pools), clock: Arc::new(SystemClock), signals })
    }

    /// Connects to Postgres by a `postgres://` URL. All tables live in the schema `pilothouse`.
    /// Call [`SqlxStorage::migrate`] before use.
    #[cfg(feature = "postgres")]
    pub async fn postgres(url: &str) -> StorageResult<Self> {
        use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
        let options: PgConnectOptions = url.parse().map_err(refused)?;
        let options = options.options([("search_path", SCHEMA)]).application_name("pilothouse");
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(refused)?;
        let signals = broadcast::channel(SIGNALS).0;
        tokio::spawn(listen(pool.clone(), signals.clone()));
        Ok(Self { database: Database::Postgres(pool), clock: Arc::new(SystemClock), signals })
    }

    /// Brings the schema to this version's and names the migrations applied.
    pub async fn migrate(&self) -> StorageResult<Vec<&'static str>> {
        let mut connection = self.database.begin().await?;
        #[cfg(feature = "postgres")]
        if let Connection::Postgres(_) = connection {
            connection.script("SELECT pg_advisory_xact_lock(5784109367)").await?;
            connection.script("CREATE SCHEMA IF NOT EXISTS pilothouse").await?;
        }
        let done = migrate::migrate(&mut connection, self.clock.now().timestamp_micros()).await?;
        self.finish(connection).await?;
        Ok(done)
    }

    /// Writes a consistent copy of the SQLite database into a new or an empty file, while it is in use.
    #[cfg(feature = "sqlite")]
    pub async fn backup(&self, file: &str) -> StorageResult<()> {
        use sqlx::ConnectOptions;
        match &self.database {
            Database::Sqlite(pools) => {
                // It only reads the database, but SQLite takes it for a write.
                let options = pools.readers.connect_options().as_ref().clone().pragma("query_only", "OFF");
                let mut connection = options.connect().await.map_err(refused)?;
                let copy = sqlx::query("VACUUM INTO $1").bind(file).execute(&mut connection).await;
                copy.map(|_| ()).map_err(refused)
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => Err(StorageError::backend("Postgres has its own tools for backups")),
        }
    }

    /// Commits, and on SQLite waits for the disk after the writer was released.
    async fn finish(&self, connection: Connection) -> StorageResult<()> {
        connection.commit().await?;
        match &self.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(pools) => pools.flushed().await,
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for SqlxStorage {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        Ok(Box::new(Transaction { connection: self.database.begin().await?, storage: Some(self.clone()) }))
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        Ok(Box::new(Transaction { connection: self.database.read().await?, storage: None }))
    }

    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        Ok(Box::new(Transaction { connection: self.database.peek().await?, storage: None }))
    }

    async fn announce(&self, topics: &[Topic]) {
        for topic in topics {
            match &self.database {
                #[cfg(feature = "sqlite")]
                // Without a waiter there is nobody to wake.
                Database::Sqlite(_) => drop(self.signals.send(Signal::Changed(*topic))),
                #[cfg(feature = "postgres")]
                Database::Postgres(pool) => {
                    let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(encode(*topic));
                    if let Err(error) = notify.execute(pool).await {
                        tracing::warn!(%error, "a wake-up was lost; waiters will find out by themselves");
                    }
                }
            }
        }
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        Box::pin(futures_util::stream::unfold(self.signals.subscribe(), |mut signals| async {
            match signals.recv().await {
                Ok(signal) => Some((signal, signals)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Signal::Lost, signals)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }

    async fn ready(&self) -> StorageResult<()> {
        migrate::check(&mut self.database.read().await?).await
    }
}

/// A snapshot, or a write transaction where it knows its store.
pub(crate) struct Transaction {
    pub(crate) connection: Connection,
    storage: Option<SqlxStorage>,
}

impl Repositories for Transaction {
    fn accounts(&mut self) -> &mut dyn AccountRepository {
        self
    }

    fn tokens(&mut self) -> &mut dyn TokenRepository {
        self
    }

    fn login_failures(&mut self) -> &mut dyn LoginFailureRepository {
        self
    }

    fn audit(&mut self) -> &mut dyn AuditRepository {
        self
    }

    fn tasks(&mut self) -> &mut dyn TaskRepository {
        self
    }

    fn machines(&mut self) -> &mut dyn MachineRepository {
        self
    }

    fn cdns(&mut self) -> &mut dyn CdnRepository {
        self
    }

    fn customers(&mut self) -> &mut dyn CustomerRepository {
        self
    }

    fn domains(&mut self) -> &mut dyn DomainRepository {
        self
    }

    fn companies(&mut self) -> &mut dyn CompanyRepository {
        self
    }

    fn traffic(&mut self) -> &mut dyn TrafficRepository {
        self
    }

    fn cities(&mut self) -> &mut dyn CityRepository {
        self
    }

    fn log_sources(&mut self) -> &mut dyn LogSourceRepository {
        self
    }

    fn log_chunks(&mut self) -> &mut dyn LogChunkRepository {
        self
    }

    fn jobs(&mut self) -> &mut dyn JobRepository {
        self
    }

    fn edges(&mut self) -> &mut dyn EdgeRepository {
        self
    }

    fn apps(&mut self) -> &mut dyn AppRepository {
        self
    }

    fn grants(&mut self) -> &mut dyn GrantRepository {
        self
    }

    fn items(&mut self) -> &mut dyn ItemRepository {
        self
    }

    fn releases(&mut self) -> &mut dyn ReleaseRepository {
        self
    }

    fn app_keys(&mut self) -> &mut dyn AppKeyRepository {
        self
    }

    fn nodes(&mut self) -> &mut dyn NodeRepository {
        self
    }

    fn deliveries(&mut self) -> &mut dyn DeliveryRepository {
        self
    }
}

#[async_trait]
impl UnitOfWork for Transaction {
    async fn lock(&mut self, key: LockKey) -> StorageResult<()> {
        let sql = "SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) AS locked";
        match self.connection.pick(Some(sql), None) {
            Some(sql) => self.connection.execute(sql, values![lock_number(key)]).await.map(|_| ()),
            // There is one writer at a time, so every lock is held already.
            None => Ok(()),
        }
    }

    async fn now(&mut self) -> StorageResult<DateTime<Utc>> {
        let storage = self.storage.as_ref().ok_or(StorageError::ReadOnly)?;
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        match self.connection.pick(Some(sql), None) {
            Some(sql) => {
                let (micros,): (i64,) = self.connection.one(sql, values![]).await?;
                time(micros)
            }
            None => Ok(storage.clock.now()),
        }
    }

    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let storage = self.storage.ok_or(StorageError::ReadOnly)?;
        storage.finish(self.connection).await
    }

    async fn commit_unflushed(self: Box<Self>) -> StorageResult<()> {
        self.storage.as_ref().ok_or(StorageError::ReadOnly)?;
        self.connection.commit().await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        self.connection.rollback().await
    }
}

/// A number that no other program on the database is likely to lock: a mark of ours, the kind, and the row.
fn lock_number(key: LockKey) -> i64 {
    const MARK: i64 = 0x5048 << 48;
    let (kind, row) = match key {
        LockKey::Accounts => (1, 0),
        LockKey::Customer(account_id) => (3, account_id),
        LockKey::Cdns => (4, 0),
        LockKey::Traffic => (5, 0),
        LockKey::App(id) => (2, id),
    };
    MARK | (kind << 40) | (row & 0xff_ffff_ffff)
}

#[cfg(feature = "postgres")]
fn encode(topic: Topic) -> String {
    match topic {
        Topic::Jobs => "jobs".to_owned(),
        Topic::App(id) => format!("app:{id}"),
    }
}

#[cfg(feature = "postgres")]
fn decode(payload: &str) -> Option<Topic> {
    match payload.split_once(':') {
        None if payload == "jobs" => Some(Topic::Jobs),
        Some(("app", id)) => id.parse().ok().map(Topic::App),
        _ => None,
    }
}

/// Passes on what other processes announce, and says so when the connection was lost meanwhile.
#[cfg(feature = "postgres")]
async fn listen(pool: sqlx::PgPool, signals: broadcast::Sender<Signal>) {
    while !pool.is_closed() {
        let listened = async {
            let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            // Whatever was announced before now went unheard.
            let _ = signals.send(Signal::Lost);
            loop {
                let signal = match listener.try_recv().await? {
                    Some(notification) => decode(notification.payload()).map(Signal::Changed),
                    None => Some(Signal::Lost),
                };
                if let Some(signal) = signal {
                    let _ = signals.send(signal);
                }
            }
        };
        let lost: sqlx::Result<()> = listened.await;
        if let Err(error) = lost {
            tracing::debug!(%error, "not listening for wake-ups; trying again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Notices what other processes have written. `data_version` changes with every commit of another connection, and the
/// writer is the only connection of this process that commits.
#[cfg(feature = "sqlite")]
async fn poll_file(pools: crate::wal::SqlitePools, signals: broadcast::Sender<Signal>) {
    let mut last = None;
    while !pools.writer.is_closed() {
        tokio::time::sleep(POLL).await;
        if signals.receiver_count() == 0 {
            continue;
        }
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&pools.writer).await.ok();
        if last.is_some() && version.is_some() && version != last {
            let _ = signals.send(Signal::Lost);
        }
        last = version.or(last);
    }
}
