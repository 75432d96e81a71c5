//! Pool of one Postgres database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_core::ports::{Signal, StorageError, StorageResult, Topic};
use sqlx::ConnectOptions;
use sqlx::postgres::PgPool;
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinSet;

use super::listen::{self, listen};
use super::settings::{PostgresSettings, SCHEMA};
use crate::connection::Connection;
use crate::error::refused;
use crate::session::Session;

/// Age up to which a diagnosis is reused, and the time limit of its attempt to connect.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// Reason why the pool had no connection in time; the driver reports only a time-out.
#[derive(Clone, Debug, thiserror::Error)]
enum Shortage {
    #[error("all {0} connections to the database are in use")]
    InUse(u32),
    #[error("the database does not answer to a new connection")]
    Silent,
    #[error("the database refuses a new connection")]
    Refused(#[source] Arc<sqlx::Error>),
}

/// Pool of one database.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPool {
    pool: PgPool,
    /// Last diagnosis and its time.
    shortage: Arc<Mutex<Option<(Instant, Shortage)>>>,
    /// Whether closing the store closes the pool.
    owned: bool,
}

impl PostgresPool {
    pub(crate) async fn connect(
        settings: PostgresSettings,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> StorageResult<Self> {
        let (pool, options) = settings.pool();
        let pool = Self::start(pool.connect_lazy_with(options), true, signals, tasks);
        pool.acquire().await?;
        Ok(pool)
    }

    /// Uses an embedder's pool, or refuses it where its sessions lack the search path.
    pub(crate) async fn adopt(
        pool: PgPool,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> StorageResult<Self> {
        let setting = sqlx::query_scalar("SELECT current_setting('search_path')");
        let path: String = setting.fetch_one(&pool).await.map_err(refused)?;
        let first = path.split(',').next().unwrap_or_default();
        if first.trim().trim_matches('"') != SCHEMA {
            return Err(StorageError::backend(format!(
                "the connections of the pool must have the schema {SCHEMA} first in their search_path"
            )));
        }
        Ok(Self::start(pool, false, signals, tasks))
    }

    fn start(
        pool: PgPool,
        owned: bool,
        signals: &broadcast::Sender<Signal>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        tasks.spawn(listen(pool.connect_options(), signals.clone()));
        Self { pool, shortage: Arc::default(), owned }
    }

    /// Takes a connection, for reads or writes.
    pub(crate) async fn acquire(&self) -> StorageResult<Connection> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(Connection::new(Session::Postgres(connection))),
            Err(sqlx::Error::PoolTimedOut) => Err(StorageError::Unavailable(self.shortage().await.into())),
            Err(error) => Err(refused(error)),
        }
    }

    /// Diagnoses by an attempt to connect why there was no connection in time; one attempt a second at most.
    async fn shortage(&self) -> Shortage {
        let mut last = self.shortage.lock().await;
        if let Some((at, shortage)) = &*last
            && at.elapsed() < DIAGNOSIS
        {
            return shortage.clone();
        }
        let options = self.pool.connect_options();
        let shortage = match tokio::time::timeout(DIAGNOSIS, options.connect()).await {
            Ok(Ok(_)) => Shortage::InUse(self.pool.options().get_max_connections()),
            Ok(Err(error)) => Shortage::Refused(Arc::new(error)),
            Err(_) => Shortage::Silent,
        };
        *last = Some((Instant::now(), shortage.clone()));
        shortage
    }

    /// Wakes the waiters of all servers on the database.
    pub(crate) async fn announce(&self, topics: &[Topic]) -> StorageResult<()> {
        let mut connection = self.acquire().await?;
        for topic in topics {
            listen::announce(&mut connection, *topic).await?;
        }
        Ok(())
    }

    /// Closes the connections once they are idle.
    pub(crate) async fn close(&self) {
        if self.owned {
            self.pool.close().await;
        }
    }
}
