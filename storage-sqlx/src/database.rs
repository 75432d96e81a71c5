//! Pools of either database behind one set of methods.

use chrono::{DateTime, Utc};
use pilothouse_core::ports::StorageResult;

use crate::connection::Connection;
#[cfg(feature = "postgres")]
use crate::postgres::PostgresPool;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqlitePools;

/// Connection pools of the database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    #[cfg(feature = "postgres")]
    Postgres(PostgresPool),
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePools),
}

impl Database {
    /// Begins a write transaction.
    pub(crate) async fn write(&self) -> StorageResult<Connection> {
        self.writer().await?.write().await
    }

    /// Takes a connection outside a transaction, for a single write.
    pub(crate) async fn writer(&self) -> StorageResult<Connection> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.acquire().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.writer().await,
        }
    }

    /// Opens a snapshot that refuses writes.
    pub(crate) async fn snapshot(&self) -> StorageResult<Connection> {
        self.peek().await?.snapshot().await
    }

    /// Takes a connection outside a transaction, for single reads.
    pub(crate) async fn peek(&self) -> StorageResult<Connection> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.acquire().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.reader().await,
        }
    }

    /// Waits for a flush that covers everything committed so far. A commit on Postgres includes it.
    #[cfg_attr(not(feature = "sqlite"), expect(clippy::unused_async, reason = "SQLite waits"))]
    pub(crate) async fn flushed(&self) -> StorageResult<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.flushed().await,
        }
    }

    /// Flushes what relaxed commits left unflushed. Postgres does so by itself.
    #[cfg_attr(not(feature = "sqlite"), expect(clippy::unused_async, reason = "SQLite waits"))]
    pub(crate) async fn flush_rest(&self) -> StorageResult<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.flush_rest().await,
        }
    }

    /// Renews the epoch, in a write transaction, where the database may hold another history than was served.
    #[cfg_attr(not(feature = "sqlite"), expect(unused_variables, reason = "SQLite asks for the time"))]
    pub(crate) async fn verify_history(
        &self,
        connection: &mut Connection,
        now: DateTime<Utc>,
    ) -> StorageResult<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => crate::postgres::verify_origin(connection).await.map(|_| ()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.verify_history(connection, now).await,
        }
    }

    /// Notes the state that [`Self::verify_history`] found, where a file beside the database does that.
    #[cfg_attr(not(feature = "sqlite"), expect(clippy::unused_async, reason = "SQLite waits"))]
    pub(crate) async fn begin_mark(&self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.begin_mark().await,
        }
    }

    /// Notes the newest state, where a file beside the database does that.
    #[cfg_attr(not(feature = "sqlite"), expect(clippy::unused_async, reason = "SQLite waits"))]
    pub(crate) async fn write_mark(&self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.write_mark().await,
        }
    }

    /// Closes the connections once they are idle, except those of an embedder's pool.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.close().await,
        }
    }
}
