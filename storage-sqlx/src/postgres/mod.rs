//! Postgres: pool, time limits, and wake-ups between servers.

mod limits;
mod listen;
mod origin;
mod pool;
mod settings;

pub(crate) use limits::{OPERATION, RELEASE};
pub(crate) use origin::verify_origin;
pub(crate) use pool::PostgresPool;
pub use settings::PostgresSettings;
