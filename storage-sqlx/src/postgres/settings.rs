//! Settings of a store in Postgres: the server, the size of the pool, and what every session needs.

use pilothouse_core::ports::StorageResult;
use sqlx::Connection;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};

use super::limits::{ACQUIRE, PING, PING_AFTER, session_settings};
use crate::SqlxStorage;
use crate::error::refused;
use crate::session::within;

/// Schema of all tables.
pub(super) const SCHEMA: &str = "pilothouse";
/// Default size of the pool.
const CONNECTIONS: u32 = 20;

/// Settings of a store in Postgres. All have defaults but the server.
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresSettings {
    options: PgConnectOptions,
    connections: u32,
}

impl PostgresSettings {
    /// Takes the server and the database from a `postgres://` URL. All tables live in the schema `pilothouse`.
    pub fn new(url: &str) -> StorageResult<Self> {
        let mut options: PgConnectOptions = url.parse().map_err(refused)?;
        if options.get_application_name().is_none() {
            options = options.application_name("pilothouse");
        }
        Ok(Self { options: Self::session(options), connections: CONNECTIONS })
    }

    /// Sets the size of the pool: at least 2, 20 by default. The store opens one connection more, which listens for
    /// wake-ups.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(2);
        self
    }

    /// Adds the session settings that the store requires to the options of a connection: the search path, time-outs of
    /// statements, locks and idle transactions, and TCP keep-alives. Open the pool for
    /// [`SqlxStorage::from_postgres_pool`] with the result.
    pub fn session(options: PgConnectOptions) -> PgConnectOptions {
        options.options([("search_path", SCHEMA)]).options(session_settings())
    }

    /// Connects. Call [`SqlxStorage::migrate`] before use.
    pub async fn connect(self) -> StorageResult<SqlxStorage> {
        SqlxStorage::connect_postgres(self).await
    }

    pub(super) fn pool(self) -> (PgPoolOptions, PgConnectOptions) {
        let pool = PgPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, idle| Box::pin(ping_if_idle(connection, idle)));
        (pool, self.options)
    }
}

/// Pings a connection that was idle, so that one that went silent meanwhile fails no use case.
async fn ping_if_idle(connection: &mut PgConnection, idle: PoolConnectionMetadata) -> sqlx::Result<bool> {
    if idle.idle_for > PING_AFTER {
        within(Some(PING), connection.ping()).await?;
    }
    Ok(true)
}
