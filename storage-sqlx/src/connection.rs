//! Connection in use: single reads, a snapshot or a write transaction.
//!
//! Transactions begin and end with statements of this crate, not with the driver's transaction counter: SQLite rolls
//! back by itself when the disk is full, and a connection whose counter disagrees with the database could never be used
//! again.

use std::time::Duration;

use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::AssertSqlSafe;
use tracing::Instrument;

use crate::error::{commit_failed, is_read_only, refused, refused_in_snapshot};
use crate::row::{FromRow, Row};
use crate::session::{Session, is_timeout, within};
use crate::statement::{Statement, placeholders, statements};
use crate::value::Value;

statements! {
    BEGIN: pair = ["BEGIN", "BEGIN IMMEDIATE"];
    BEGIN_SNAPSHOT: pair = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN DEFERRED"];
    COMMIT = "COMMIT";
}

/// Rows of one statement of [`Connection::execute_rows`].
const ROWS_PER_STATEMENT: usize = 500;

/// Purpose of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Single reads outside a transaction, which saves the round trips of `BEGIN` and `ROLLBACK`.
    Peek,
    /// A snapshot that refuses writes.
    Snapshot,
    /// A write transaction.
    Write,
}

/// Pooled connection in use. Dropping it rolls back what is not committed and returns it to its pool.
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    session: Option<Session>,
    state: State,
}

/// State of a session in use.
struct State {
    purpose: Purpose,
    /// Whether a transaction may be open on the session.
    open: bool,
    /// Whether a statement of the write transaction failed. Postgres refuses all that follow; SQLite may have rolled
    /// back by itself, and would then commit each of them on its own.
    failed: bool,
    /// Whether the connection must be closed instead of returned to its pool.
    broken: bool,
    /// Time limit of an operation. Reaching it closes the connection: nothing else detects a server that went silent.
    limit: Option<Duration>,
}

impl State {
    /// Refuses a write outside a transaction, and any statement after a failed one.
    fn check(&self, statement: Statement) -> StorageResult<()> {
        if self.purpose == Purpose::Peek && !statement.is_select() {
            return Err(StorageError::ReadOnly);
        }
        if self.failed {
            return Err(StorageError::backend("an earlier statement of the transaction failed"));
        }
        Ok(())
    }

    /// Waits for the answer of the database, in a span that names the statement.
    async fn answer<T>(
        &mut self,
        name: &'static str,
        statement: impl Future<Output = sqlx::Result<T>>,
    ) -> StorageResult<T> {
        let refused = if self.purpose == Purpose::Write { refused } else { refused_in_snapshot };
        self.try_answer(name, statement).await.map_err(refused)
    }

    async fn try_answer<T>(
        &mut self,
        name: &'static str,
        statement: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let span = match self.purpose {
            // The path that answers thousands of requests a second.
            Purpose::Peek => tracing::Span::none(),
            Purpose::Snapshot | Purpose::Write => tracing::debug_span!("statement", name),
        };
        let answer = within(self.limit, statement.instrument(span)).await;
        if let Err(error) = &answer {
            let writes = self.purpose == Purpose::Write;
            self.failed |= writes;
            self.broken |= is_timeout(error) || writes && is_read_only(error);
        }
        answer
    }
}

impl Connection {
    pub(crate) fn new(session: Session) -> Self {
        let limit = session.limit();
        let state = State { purpose: Purpose::Peek, open: false, failed: false, broken: false, limit };
        Self { session: Some(session), state }
    }

    /// Begins a snapshot that refuses writes.
    pub(crate) async fn snapshot(self) -> StorageResult<Self> {
        self.begin(BEGIN_SNAPSHOT, Purpose::Snapshot).await
    }

    /// Begins a write transaction.
    pub(crate) async fn write(self) -> StorageResult<Self> {
        self.begin(BEGIN, Purpose::Write).await
    }

    async fn begin(mut self, statement: Statement, purpose: Purpose) -> StorageResult<Self> {
        self.state.purpose = purpose;
        // Set before the answer: a `BEGIN` that is cut off may have been executed, so a rollback has to follow.
        self.state.open = true;
        self.script(statement).await?;
        Ok(self)
    }

    fn parts(&mut self) -> StorageResult<(&mut Session, &mut State)> {
        let session = self.session.as_mut().ok_or_else(|| refused(sqlx::Error::PoolClosed))?;
        Ok((session, &mut self.state))
    }

    /// All rows.
    pub(crate) async fn all<R: FromRow + Send>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> StorageResult<Vec<R>> {
        let (session, state) = self.parts()?;
        state.check(statement)?;
        let mut rows = Ok(Vec::new());
        let mut each = |row: Row| {
            if let Ok(decoded) = &mut rows {
                match R::from_row(&row) {
                    Ok(row) => decoded.push(row),
                    Err(error) => rows = Err(error),
                }
            }
        };
        state.answer(statement.name, session.fetch(statement, values, &mut each)).await?;
        rows
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<R: FromRow>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> StorageResult<Option<R>> {
        let (session, state) = self.parts()?;
        state.check(statement)?;
        let row = state.answer(statement.name, session.first(statement, values)).await?;
        row.map(|row| R::from_row(&row)).transpose()
    }

    /// The row that is always there, as of an aggregate.
    pub(crate) async fn one<R: FromRow>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> StorageResult<R> {
        self.optional(statement, values).await?.ok_or_else(|| refused(sqlx::Error::RowNotFound))
    }

    /// The number that a `SELECT COUNT(*)` answers.
    pub(crate) async fn count(&mut self, statement: Statement, values: &[Value<'_>]) -> StorageResult<u64> {
        Ok(self.one::<i64>(statement, values).await?.unsigned_abs())
    }

    /// Executes; the number of rows affected.
    pub(crate) async fn execute(&mut self, statement: Statement, values: &[Value<'_>]) -> StorageResult<u64> {
        let (session, state) = self.parts()?;
        state.check(statement)?;
        let text = session.text(statement);
        state.answer(statement.name, session.execute(text, values)).await
    }

    /// Executes one write outside a transaction, in one round trip. It commits by itself, so even a frozen process
    /// holds no lock of it.
    pub(crate) async fn execute_alone(
        mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> StorageResult<u64> {
        self.state.purpose = Purpose::Write;
        self.execute(statement, values).await
    }

    /// Executes `<head> VALUES ($1, …), … <tail>` for many rows of `width` values: an `INSERT`, or a `WITH` whose rows
    /// the `INSERT` or `UPDATE` in `tail` reads. Does nothing without rows.
    ///
    /// `head` and `tail` are constants without placeholders; only those of the rows are generated.
    pub(crate) async fn execute_rows(
        &mut self,
        head: Statement,
        tail: &'static str,
        width: usize,
        values: &[Value<'_>],
    ) -> StorageResult<u64> {
        let (session, state) = self.parts()?;
        state.check(head)?;
        let text = session.text(head);
        let mut affected = 0;
        for rows in values.chunks(width * ROWS_PER_STATEMENT) {
            // SQLite searches the list of all numbered placeholders for each value that is bound.
            let placeholders = placeholders(rows.len() / width, width, session.is_postgres());
            // They differ only in the last, shorter statement: worth caching.
            let sql = AssertSqlSafe(format!("{text} VALUES {placeholders} {tail}"));
            affected += state.answer(head.name, session.execute(sql, rows)).await?;
        }
        Ok(affected)
    }

    /// Executes `<head> <number>`: a statement that takes no parameters, as those that change a schema.
    pub(crate) async fn execute_with_number(&mut self, head: Statement, number: i64) -> StorageResult<()> {
        let (session, state) = self.parts()?;
        state.check(head)?;
        let sql = AssertSqlSafe(format!("{} {number}", session.text(head)));
        state.answer(head.name, session.execute(sql, &[])).await.map(|_| ())
    }

    /// Executes one or more statements without parameters.
    pub(crate) async fn script(&mut self, script: Statement) -> StorageResult<()> {
        let (session, state) = self.parts()?;
        state.check(script)?;
        let text = session.text(script);
        state.answer(script.name, session.script(text)).await
    }

    /// The text of a statement for this database.
    pub(crate) fn text(&mut self, statement: Statement) -> StorageResult<&'static str> {
        self.parts().map(|(session, _)| session.text(statement))
    }

    /// Whether the database runs several write transactions at once. SQLite has one writer.
    pub(crate) fn has_concurrent_writers(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_postgres)
    }

    /// Commits; on SQLite the write-ahead log still has to be flushed.
    pub(crate) async fn commit(mut self) -> StorageResult<()> {
        let (session, state) = self.parts()?;
        if state.purpose != Purpose::Write {
            return Err(StorageError::ReadOnly);
        }
        state.check(COMMIT)?;
        let committed = state.try_answer(COMMIT.name, session.script(session.text(COMMIT))).await;
        committed.map_err(commit_failed)?;
        state.open = false;
        Ok(())
    }

    /// Removes the time limit, for migrations of large tables.
    pub(crate) fn without_limit(&mut self) {
        self.state.limit = None;
    }

    /// Rolls back. Where that fails the connection is closed, which makes the database roll back.
    pub(crate) async fn rollback(mut self) {
        if !self.state.broken
            && let Some(session) = self.session.take()
        {
            session.release(self.state.open).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let open = self.state.open;
        if self.state.broken {
            session.close();
        } else if session.has_to_be_released(open) {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(session.release(open))),
                // Without a runtime nobody uses the pool any more.
                Err(_) => session.close(),
            }
        }
    }
}
