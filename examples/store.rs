//! Storage adapter of your own: a wrapper that counts another store's transactions, tested by the conformance suite.
//!
//! `cargo run --example store`; `cargo test --example store` runs the suite.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use pilothouse_core::ports::{Repositories, Signal, Storage, StorageResult, StoreInfo, Topic, UnitOfWork};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

/// Store that counts the snapshots and write transactions of the store behind it.
#[derive(Debug, Default)]
struct CountingStorage {
    inner: MemoryStorage,
    reads: AtomicU64,
    writes: AtomicU64,
}

#[async_trait]
impl Storage for CountingStorage {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.begin().await
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read().await
    }

    async fn announce(&self, topics: &[Topic]) {
        self.inner.announce(topics).await;
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        self.inner.signals()
    }

    async fn ready(&self) -> StorageResult<()> {
        self.inner.ready().await
    }

    fn info(&self) -> StoreInfo {
        StoreInfo { kind: "counting", ..self.inner.info() }
    }

    async fn check_writable(&self) -> StorageResult<()> {
        self.inner.check_writable().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let storage = Arc::new(CountingStorage::default());
    let pilothouse = Pilothouse::new(storage.clone(), Settings::default())?;
    pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await?;
    pilothouse.logins().login("root", "correct horse", None).await?;
    let (reads, writes) = (storage.reads.load(Ordering::Relaxed), storage.writes.load(Ordering::Relaxed));
    println!("creating an account and logging in took {reads} snapshots and {writes} transactions");
    Ok(())
}

#[cfg(test)]
async fn fresh(_case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    Some((Arc::new(CountingStorage::default()), ()))
}

#[cfg(test)]
mod conformance {
    pilothouse_conformance::conformance_tests!(crate::fresh);
}
