//! Pilothouse storage in SQLite and Postgres, behind the features `sqlite` and `postgres`.
//!
//! SQL is written once, as constants with `$1`; the module `database` is the only module that knows there are two databases.
//! Times are microseconds since the epoch, addresses text, identifiers of the domain bytes.

mod account;
mod cdn;
mod config;
mod database;
mod migrate;
mod ops;
mod storage;
mod value;
#[cfg(feature = "sqlite")]
mod wal;

pub use storage::SqlxStorage;
