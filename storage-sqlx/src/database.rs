//! The only module that knows there are two databases: pools, transactions, statements.

use std::fmt::Write as _;

use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, FromRow};

use crate::value::Value;

#[cfg(feature = "postgres")]
use sqlx::postgres::{PgPool, PgRow, Postgres};
#[cfg(feature = "sqlite")]
use sqlx::sqlite::{Sqlite, SqliteRow};

/// A row of either database.
#[cfg(all(feature = "postgres", feature = "sqlite"))]
pub(crate) trait Row:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}
#[cfg(all(feature = "postgres", feature = "sqlite"))]
impl<T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for T {}

/// A row.
#[cfg(all(feature = "postgres", not(feature = "sqlite")))]
pub(crate) trait Row: for<'r> FromRow<'r, PgRow> + Send + Unpin {}
#[cfg(all(feature = "postgres", not(feature = "sqlite")))]
impl<T: for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

/// A row.
#[cfg(all(feature = "sqlite", not(feature = "postgres")))]
pub(crate) trait Row: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
#[cfg(all(feature = "sqlite", not(feature = "postgres")))]
impl<T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for T {}

/// The pools.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
    #[cfg(feature = "sqlite")]
    Sqlite(crate::wal::SqlitePools),
}

/// An open transaction or snapshot.
pub(crate) enum Connection {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, Postgres>),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// Outside of a transaction, to read with one statement.
    #[cfg(feature = "postgres")]
    PeekPostgres(PoolConnection<Postgres>),
    /// The same.
    #[cfg(feature = "sqlite")]
    PeekSqlite(PoolConnection<Sqlite>),
}

/// One thing to do on whichever database it is. Inside, `$connection` is its connection.
macro_rules! on_database {
    ($this:expr, $connection:ident => $body:expr) => {
        match $this {
            #[cfg(feature = "postgres")]
            Connection::Postgres($connection) => $body,
            #[cfg(feature = "sqlite")]
            Connection::Sqlite($connection) => $body,
            #[cfg(feature = "postgres")]
            Connection::PeekPostgres($connection) => $body,
            #[cfg(feature = "sqlite")]
            Connection::PeekSqlite($connection) => $body,
        }
    };
}

/// A statement with its values bound.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.as_deref()),
                Value::Bytes(value) => query.bind(value.as_deref()),
                Value::Bool(value) => query.bind(*value),
            };
        }
        query
    }};
}

/// A statement on the rows whose column, the last word of `$before`, is among the ids in `$1`, for each database.
macro_rules! of_ids {
    ($before:literal, $after:literal) => {
        [
            concat!($before, " = ANY(CAST($1 AS BIGINT[])) ", $after),
            concat!($before, " IN (SELECT value FROM json_each($1)) ", $after),
        ]
    };
}
pub(crate) use of_ids;

/// The sum of a column and what is being inserted, at most the greatest number: where it does not fit, Postgres would
/// refuse and SQLite would go on with a floating-point number.
macro_rules! saturating_sum {
    ($table:literal, $column:literal) => {
        concat!(
            "CASE WHEN excluded.",
            $column,
            " > 0 AND ",
            $table,
            ".",
            $column,
            " > 9223372036854775807 - excluded.",
            $column,
            " THEN 9223372036854775807 \
             WHEN excluded.",
            $column,
            " < 0 AND ",
            $table,
            ".",
            $column,
            " < -9223372036854775807 - excluded.",
            $column,
            " THEN -9223372036854775807 \
             ELSE ",
            $table,
            ".",
            $column,
            " + excluded.",
            $column,
            " END"
        )
    };
}
pub(crate) use saturating_sum;

impl Database {
    /// Opens a snapshot that refuses writes.
    pub(crate) async fn read(&self) -> StorageResult<Connection> {
        match self.clone() {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => {
                begun(async move {
                    let begin = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
                    begin.map(Connection::Postgres)
                })
                .await
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => {
                begun(async move { pools.readers.begin_with("BEGIN DEFERRED").await.map(Connection::Sqlite) })
                    .await
            }
        }
    }

    /// A connection outside of a transaction, which spares the two exchanges that a transaction costs.
    pub(crate) async fn peek(&self) -> StorageResult<Connection> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.acquire().await.map(Connection::PeekPostgres).map_err(refused),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => pools.readers.acquire().await.map(Connection::PeekSqlite).map_err(refused),
        }
    }

    /// Begins a write transaction.
    pub(crate) async fn begin(&self) -> StorageResult<Connection> {
        match self.clone() {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => {
                begun(async move { pool.begin_with("BEGIN").await.map(Connection::Postgres) }).await
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pools) => {
                pools.check()?;
                begun(async move { pools.writer.begin_with("BEGIN IMMEDIATE").await.map(Connection::Sqlite) })
                    .await
            }
        }
    }
}

/// Begins in a task of its own: a `begin` that is dropped half-way leaves its pooled connection inside a transaction.
async fn begun(
    begin: impl Future<Output = sqlx::Result<Connection>> + Send + 'static,
) -> StorageResult<Connection> {
    tokio::spawn(begin).await.map_err(StorageError::backend)?.map_err(refused)
}

impl Connection {
    /// Refuses a write outside of a transaction.
    fn check(&self, sql: &str) -> StorageResult<()> {
        let peeks = match self {
            #[cfg(feature = "postgres")]
            Self::PeekPostgres(_) => true,
            #[cfg(feature = "sqlite")]
            Self::PeekSqlite(_) => true,
            _ => false,
        };
        if peeks && !sql.starts_with("SELECT") { Err(StorageError::ReadOnly) } else { Ok(()) }
    }

    /// All rows.
    pub(crate) async fn all<R: Row>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> StorageResult<Vec<R>> {
        self.check(sql)?;
        on_database!(self, connection => {
            bound!(sqlx::query_as::<_, R>(sql), values).fetch_all(&mut **connection).await
        })
        .map_err(refused)
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<R: Row>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> StorageResult<Option<R>> {
        self.check(sql)?;
        on_database!(self, connection => {
            bound!(sqlx::query_as::<_, R>(sql), values).fetch_optional(&mut **connection).await
        })
        .map_err(refused)
    }

    /// The row that is always there, as of an aggregate.
    pub(crate) async fn one<R: Row>(&mut self, sql: &'static str, values: &[Value<'_>]) -> StorageResult<R> {
        self.optional(sql, values).await?.ok_or_else(|| refused(sqlx::Error::RowNotFound))
    }

    /// Executes; the number of rows affected.
    pub(crate) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> StorageResult<u64> {
        self.check(sql)?;
        on_database!(self, connection => {
            let done = bound!(sqlx::query(sql), values).execute(&mut **connection).await;
            done.map(|done| done.rows_affected())
        })
        .map_err(refused)
    }

    /// Executes `<head> VALUES ($1, …), … <tail>` for many rows of `width` values, some hundred rows a statement.
    ///
    /// `head` and `tail` are constants without placeholders; only those of the rows are generated. For SQLite they have no
    /// numbers: it searches the list of all numbered ones for each value that is bound.
    pub(crate) async fn insert_many(
        &mut self,
        head: &'static str,
        tail: &'static str,
        width: usize,
        values: &[Value<'_>],
    ) -> StorageResult<u64> {
        const ROWS: usize = 500;
        self.check(head)?;
        let numbered = self.pick(true, false);
        let mut affected = 0;
        for rows in values.chunks(width * ROWS) {
            let mut sql = format!("{head} VALUES ");
            for row in 0..rows.len() / width {
                sql.push_str(if row == 0 { "(" } else { ", (" });
                for column in 0..width {
                    let comma = if column == 0 { "" } else { ", " };
                    let _ = if numbered {
                        write!(sql, "{comma}${}", row * width + column + 1)
                    } else {
                        write!(sql, "{comma}?")
                    };
                }
                sql.push(')');
            }
            let _ = write!(sql, " {tail}");
            // The placeholders differ only in the last, shorter statement: worth caching.
            affected += on_database!(self, connection => {
                let done = bound!(sqlx::query(AssertSqlSafe(sql)), rows).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            })
            .map_err(refused)?;
        }
        Ok(affected)
    }

    /// Executes a script of constant statements.
    pub(crate) async fn script(&mut self, sql: &'static str) -> StorageResult<()> {
        on_database!(self, connection => {
            sqlx::raw_sql(sql).execute(&mut **connection).await.map(|_| ())
        })
        .map_err(refused)
    }

    /// The one of a pair of texts that this database understands.
    #[cfg_attr(
        not(all(feature = "postgres", feature = "sqlite")),
        expect(unused_variables, reason = "one is picked")
    )]
    pub(crate) fn pick<T: Copy>(&self, postgres: T, sqlite: T) -> T {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) | Self::PeekPostgres(_) => postgres,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) | Self::PeekSqlite(_) => sqlite,
        }
    }

    /// The one of a pair of statements that this database understands, Postgres's first: see [`of_ids`].
    pub(crate) fn either(&self, [postgres, sqlite]: [&'static str; 2]) -> &'static str {
        self.pick(postgres, sqlite)
    }

    /// Ids as the `$1` of such a statement.
    pub(crate) fn list(&self, ids: &[i64]) -> String {
        let (open, close) = self.pick(("{", "}"), ("[", "]"));
        let ids: Vec<_> = ids.iter().map(i64::to_string).collect();
        format!("{open}{}{close}", ids.join(","))
    }

    /// Commits on the database; on SQLite the log still has to reach the disk.
    pub(crate) async fn commit(self) -> StorageResult<()> {
        let done = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => transaction.commit().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(transaction) => transaction.commit().await,
            _ => return Err(StorageError::ReadOnly),
        };
        done.map_err(|error| match error {
            sqlx::Error::Database(_) => refused(error),
            _ => StorageError::CommitUnknown(error.into()),
        })
    }

    /// Rolls back.
    pub(crate) async fn rollback(self) -> StorageResult<()> {
        let done = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => transaction.rollback().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(transaction) => transaction.rollback().await,
            _ => Ok(()),
        };
        done.map_err(refused)
    }
}

/// What the database said, as the domain knows it.
pub(crate) fn refused(error: sqlx::Error) -> StorageError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Postgres: read_only_sql_transaction. SQLite: SQLITE_READONLY, in the low byte of an extended code.
    let read_only = code.is_some_and(|code| {
        code == "25006" || code.parse::<u32>().is_ok_and(|n| n & 0xff == 8 && n < 10_000)
    });
    if read_only { StorageError::ReadOnly } else { StorageError::backend(error) }
}
