#![cfg_attr(feature = "sqlite", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "sqlite"),
    doc = "Store of Pilothouse in Postgres; SQLite is not enabled in this build."
)]

#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!(
    "pilothouse-storage-sqlx stores nothing without a database: enable the feature `sqlite` or `postgres`"
);

mod account;
mod cdn;
mod config;
mod connection;
mod database;
mod error;
mod history;
mod id;
mod idempotency;
mod import;
mod migrate;
mod ops;
#[cfg(feature = "postgres")]
mod postgres;
mod pruning;
mod row;
mod session;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod stop;
mod storage;
mod store_identity;
mod transaction;
mod value;
mod webhook;

#[cfg(feature = "postgres")]
pub use postgres::PostgresSettings;
#[cfg(feature = "sqlite")]
pub use sqlite::{CheckedBackup, RestoreError, Restored, SqliteSettings};
pub use storage::SqlxStorage;
