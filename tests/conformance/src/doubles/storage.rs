//! Faulty store: passes everything on to a real one, until a test switches it off, holds it or makes it panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use pilothouse_core::ports::{
    Repositories, Signal, Storage, StorageError, StorageResult, StoreInfo, Topic, UnitOfWork,
};
use tokio::sync::watch;

/// A store whose failures a test decides.
#[derive(Debug)]
pub struct FaultyStorage {
    storage: Arc<dyn Storage>,
    refuses_writes: AtomicBool,
    panics: AtomicU32,
    holds_snapshots: watch::Sender<bool>,
}

impl FaultyStorage {
    /// Over a real store, without failures.
    pub fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        let holds_snapshots = watch::Sender::new(false);
        let (refuses_writes, panics) = (AtomicBool::new(false), AtomicU32::new(0));
        Arc::new(Self { storage, refuses_writes, panics, holds_snapshots })
    }

    /// Refuses write transactions from now on, or no longer.
    pub fn refuse_writes(&self, refuse: bool) {
        self.refuses_writes.store(refuse, Ordering::SeqCst);
    }

    /// Opens snapshots from now on, but hands none out before it is told to hold them no longer.
    pub fn hold_snapshots(&self, hold: bool) {
        self.holds_snapshots.send_replace(hold);
    }

    /// Panics at the beginning of the next `count` write transactions.
    pub fn panic_next_writes(&self, count: u32) {
        self.panics.store(count, Ordering::SeqCst);
    }

    fn fail(&self) -> StorageResult<()> {
        let panics = |left: u32| left.checked_sub(1);
        assert!(
            self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, panics).is_err(),
            "the store was told to panic"
        );
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(StorageError::backend("the store was told to refuse"));
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        self.fail()?;
        self.storage.begin().await
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        let snapshot = self.storage.read().await?;
        // The sender lives as long as this store.
        let _ = self.holds_snapshots.subscribe().wait_for(|hold| !hold).await;
        Ok(snapshot)
    }

    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        self.storage.peek().await
    }

    async fn announce(&self, topics: &[Topic]) {
        self.storage.announce(topics).await;
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        self.storage.signals()
    }

    async fn ready(&self) -> StorageResult<()> {
        self.storage.ready().await
    }

    fn info(&self) -> StoreInfo {
        self.storage.info()
    }

    async fn check_writable(&self) -> StorageResult<()> {
        self.fail()?;
        self.storage.check_writable().await
    }
}
