//! The conformance suite on SQLite and on Postgres.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod delivery_counts;
mod differential;
mod disk;
mod file;
mod history;
mod lifetime;
mod peers;
mod proxy;
mod silence;
mod spans;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_core::ports::Storage;
use pilothouse_storage_sqlx::SqlxStorage;
use tempfile::TempDir;

async fn sqlite_store(_case: &'static str) -> Option<(Arc<dyn Storage>, TempDir)> {
    let folder = TempDir::new().unwrap();
    let storage = SqlxStorage::sqlite(folder.path().join("pilothouse.db")).await.unwrap();
    storage.migrate().await.unwrap();
    Some((Arc::new(storage), folder))
}

async fn postgres_store(case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    let postgres = pilothouse_test_support::postgres_or_skip(case)?;
    let storage = SqlxStorage::postgres(&postgres.database().url).await.unwrap();
    storage.migrate().await.unwrap();
    Some((Arc::new(storage), ()))
}

/// Waits until something is true; fails where it is not within the limit.
async fn within(limit: Duration, is_true: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !is_true().await {
        assert!(start.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

mod sqlite {
    pilothouse_conformance::conformance_tests!(crate::sqlite_store);
}

mod postgres {
    pilothouse_conformance::conformance_tests!(crate::postgres_store);
}
