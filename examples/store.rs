//! A store of one's own: here one that counts the transactions of another, and the conformance suite on it.
//!
//! `cargo run --example store`; `cargo test --example store` runs the suite.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use pilothouse_core::ports::{Repositories, Signal, Storage, StorageResult, Topic, UnitOfWork};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

/// Counts how often the store behind it is read and written.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStorage,
    reads: AtomicU64,
    writes: AtomicU64,
}

#[async_trait]
impl Storage for Counting {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.begin().await
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read().await
    }

    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.peek().await
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
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let storage = Arc::new(Counting::default());
    let pilothouse = Pilothouse::new(storage.clone(), Settings::default())?;
    pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await?;
    pilothouse.logins().login("root", "correct horse", None).await?;
    let (reads, writes) = (storage.reads.load(Ordering::Relaxed), storage.writes.load(Ordering::Relaxed));
    println!("making an account and logging in took {reads} snapshots and {writes} transactions");
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unused_async, reason = "a durable store would have to wait here")]
async fn fresh(_case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    Some((Arc::new(Counting::default()), ()))
}

#[cfg(test)]
mod conformance {
    pilothouse_core::conformance_tests!(crate::fresh);
}
