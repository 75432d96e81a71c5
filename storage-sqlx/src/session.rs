//! Session of either database: a pooled connection, statements on it, and its return to the pool.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::SqlSafeStr;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;

use crate::row::Row;
use crate::statement::Statement;
use crate::value::Value;

#[cfg(feature = "postgres")]
use crate::postgres::{OPERATION, RELEASE};
#[cfg(feature = "postgres")]
use sqlx::postgres::Postgres;
#[cfg(feature = "sqlite")]
use sqlx::sqlite::Sqlite;

const ROLLBACK: &str = "ROLLBACK";

/// Pooled connection of either database.
pub(crate) enum Session {
    #[cfg(feature = "postgres")]
    Postgres(PoolConnection<Postgres>),
    #[cfg(feature = "sqlite")]
    Sqlite(PoolConnection<Sqlite>),
}

/// Evaluates an expression for either database; `$connection` is the driver's connection.
macro_rules! on_session {
    ($session:expr, $connection:ident => $body:expr) => {
        match $session {
            #[cfg(feature = "postgres")]
            Session::Postgres($connection) => $body,
            #[cfg(feature = "sqlite")]
            Session::Sqlite($connection) => $body,
        }
    };
}

/// Defines a function that binds the parameters of a statement, once per database.
macro_rules! bind {
    ($name:ident, $database:ty, $ids:path, $texts:path) => {
        fn $name<'q>(
            sql: impl SqlSafeStr,
            values: &'q [Value<'_>],
        ) -> Query<'q, $database, <$database as sqlx::Database>::Arguments> {
            let mut query = sqlx::query(sql);
            for value in values {
                query = match value {
                    Value::Int(value) => query.bind(*value),
                    Value::Text(value) => query.bind(value.as_deref()),
                    Value::Bytes(value) => query.bind(value.as_deref()),
                    Value::Bool(value) => query.bind(*value),
                    Value::Ids(ids) => query.bind($ids(ids)),
                    Value::Texts(texts) => query.bind($texts(texts)),
                };
            }
            query
        }
    };
}

#[cfg(feature = "postgres")]
bind!(bind_postgres, Postgres, array, text_array);
#[cfg(feature = "sqlite")]
bind!(bind_sqlite, Sqlite, json_array, json_text_array);

// An array as such: Postgres would take the literal of one apart again for every row that it compares with it.
#[cfg(feature = "postgres")]
fn array(ids: &[i64]) -> Vec<i64> {
    ids.to_vec()
}

#[cfg(feature = "postgres")]
fn text_array(texts: &[Cow<'_, str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[cfg(feature = "sqlite")]
fn json_array(ids: &[i64]) -> String {
    serde_json::json!(ids).to_string()
}

#[cfg(feature = "sqlite")]
fn json_text_array(texts: &[Cow<'_, str>]) -> String {
    serde_json::json!(texts).to_string()
}

impl Session {
    /// Executes a statement and passes its rows on as they arrive.
    pub(crate) async fn fetch(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
        each: &mut (dyn FnMut(Row) + Send),
    ) -> sqlx::Result<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let mut rows = bind_postgres(statement.postgres(), values).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await? {
                    each(Row::Postgres(row));
                }
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                let mut rows = bind_sqlite(statement.sqlite(), values).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await? {
                    each(Row::Sqlite(row));
                }
            }
        }
        Ok(())
    }

    /// Executes a statement and returns its first row.
    pub(crate) async fn first(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        Ok(match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let query = bind_postgres(statement.postgres(), values);
                query.fetch_optional(&mut **connection).await?.map(Row::Postgres)
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                let query = bind_sqlite(statement.sqlite(), values);
                query.fetch_optional(&mut **connection).await?.map(Row::Sqlite)
            }
        })
    }

    /// Executes a statement and returns the number of affected rows.
    pub(crate) async fn execute(&mut self, sql: impl SqlSafeStr, values: &[Value<'_>]) -> sqlx::Result<u64> {
        Ok(match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                bind_postgres(sql, values).execute(&mut **connection).await?.rows_affected()
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                bind_sqlite(sql, values).execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// Executes statements without parameters, which are not cached.
    pub(crate) async fn script(&mut self, sql: &'static str) -> sqlx::Result<()> {
        on_session!(self, connection => sqlx::raw_sql(sql).execute(&mut **connection).await.map(|_| ()))
    }

    pub(crate) fn is_postgres(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
        }
    }

    pub(crate) fn text(&self, statement: Statement) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => statement.postgres(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => statement.sqlite(),
        }
    }

    /// Rolls back an open transaction and returns the connection to its pool; closes it where that fails.
    ///
    /// This also reads the answers to statements whose futures were dropped, so that the next user does not get them.
    pub(crate) async fn release(mut self, open: bool) {
        match &mut self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                if open {
                    let rollback = sqlx::raw_sql(ROLLBACK).execute(&mut **connection);
                    if within(Some(RELEASE), rollback).await.is_err() {
                        return self.close();
                    }
                }
                // Dropping it would do the same, but without a time limit: a silent server would keep a slot of the
                // pool.
                if tokio::time::timeout(RELEASE, connection.return_to_pool()).await.is_err() {
                    tracing::debug!("a silent connection was closed");
                }
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                if open && sqlx::raw_sql(ROLLBACK).execute(&mut **connection).await.is_err() {
                    self.close();
                }
            }
        }
    }

    /// Whether [`Session::release`] is needed; dropping the session suffices otherwise.
    pub(crate) fn has_to_be_released(&self, open: bool) -> bool {
        open || self.is_postgres()
    }

    /// Time limit of an operation. SQLite runs in this process and limits its waits itself.
    #[cfg_attr(not(feature = "sqlite"), expect(clippy::unnecessary_wraps, reason = "SQLite has no limit"))]
    pub(crate) fn limit(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Some(OPERATION),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => None,
        }
    }

    /// Closes the connection at once; its pool opens another. The database rolls back what is open on it.
    pub(crate) fn close(self) {
        on_session!(self, connection => drop(connection.detach()));
    }
}

/// Applies a time limit to an operation of the driver.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    operation: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let Some(limit) = limit else { return operation.await };
    tokio::time::timeout(limit, operation).await.unwrap_or_else(|_| {
        let message = format!("the database did not answer within {} s", limit.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message)))
    })
}

pub(crate) fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
