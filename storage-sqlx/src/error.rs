//! Mapping of driver errors to [`StorageError`].

use pilothouse_core::ports::StorageError;

use crate::stop::Reason;

/// Meaning of an error of the database itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Write refused: in a snapshot, or by a server or file that is read-only.
    ReadOnly,
    /// No room, time or connections: a retry may succeed.
    Passing,
    /// Connection ended or disk failed, with a commit possibly done.
    Interrupted,
    /// Any other, as a violated constraint.
    Other,
}

/// Wraps an error without looking at its code.
pub(crate) fn backend(error: sqlx::Error) -> StorageError {
    StorageError::backend(error)
}

/// Maps the error of a connection, or of a statement other than a commit.
pub(crate) fn refused(error: sqlx::Error) -> StorageError {
    match &error {
        sqlx::Error::PoolClosed => StorageError::Stopped(Reason::Closed.into()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            StorageError::Unavailable(error.into())
        }
        _ => match meaning(&error) {
            Meaning::ReadOnly | Meaning::Passing | Meaning::Interrupted => {
                StorageError::Unavailable(error.into())
            }
            Meaning::Other => backend(error),
        },
    }
}

/// Maps the error of a statement in a snapshot, where a refused write is the caller's mistake.
pub(crate) fn refused_in_snapshot(error: sqlx::Error) -> StorageError {
    if meaning(&error) == Meaning::ReadOnly { StorageError::ReadOnly } else { refused(error) }
}

/// Maps the error of a commit: unless the database refused it, nobody knows whether it happened.
pub(crate) fn commit_failed(error: sqlx::Error) -> StorageError {
    match &error {
        sqlx::Error::Database(_) if meaning(&error) != Meaning::Interrupted => refused(error),
        _ => StorageError::CommitUnknown(error.into()),
    }
}

/// Whether the server is read-only, as a demoted primary is: another connection may lead to its successor.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    meaning(error) == Meaning::ReadOnly
}

fn meaning(error: &sqlx::Error) -> Meaning {
    let Some(error) = error.as_database_error() else { return Meaning::Other };
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres(error.code());
    }
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.map_or(Meaning::Other, sqlite)
}

/// Postgres' [error codes](https://www.postgresql.org/docs/current/errcodes-appendix.html).
#[cfg(feature = "postgres")]
fn postgres(code: &str) -> Meaning {
    match code {
        // read_only_sql_transaction
        "25006" => Meaning::ReadOnly,
        // transaction_resolution_unknown, statement_completion_unknown, admin_shutdown, crash_shutdown
        "08007" | "40003" | "57P01" | "57P02" => Meaning::Interrupted,
        // idle_in_transaction_session_timeout, transaction_timeout, lock_not_available
        "25P03" | "25P04" | "55P03" => Meaning::Passing,
        _ => match code.get(..2) {
            // connection exceptions, transactions to be repeated, insufficient resources, interventions of an operator
            Some("08" | "40" | "53" | "57") => Meaning::Passing,
            _ => Meaning::Other,
        },
    }
}

/// SQLite's [result codes](https://www.sqlite.org/rescode.html), in the low byte of an extended code.
fn sqlite(code: u32) -> Meaning {
    match code & 0xff {
        // SQLITE_READONLY
        8 => Meaning::ReadOnly,
        // SQLITE_IOERR
        10 => Meaning::Interrupted,
        // SQLITE_BUSY, LOCKED, NOMEM, INTERRUPT, FULL, CANTOPEN, PROTOCOL
        5 | 6 | 7 | 9 | 13 | 14 | 15 => Meaning::Passing,
        _ => Meaning::Other,
    }
}
