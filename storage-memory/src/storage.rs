//! The store, its transactions and its wake-ups.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use pilothouse_core::account::{AccountRepository, AuditRepository, LoginFailureRepository, TokenRepository};
use pilothouse_core::cdn::{
    CdnRepository, CityRepository, CompanyRepository, CustomerRepository, DomainRepository, EdgeRepository,
    JobRepository, LogChunkRepository, LogSourceRepository, TrafficRepository,
};
use pilothouse_core::config::{
    AppKeyRepository, AppRepository, DeliveryRepository, GrantRepository, ItemRepository, NodeRepository,
    ReleaseRepository,
};
use pilothouse_core::ops::{MachineRepository, TaskRepository};
use pilothouse_core::ports::{
    Clock, LockKey, Repositories, Signal, Storage, StorageError, StorageResult, SystemClock, Topic,
    UnitOfWork,
};
use tokio::sync::{OwnedMutexGuard, broadcast};

use crate::state::State;

/// How many wake-ups a slow waiter may fall behind before it is told that it lost some.
const SIGNALS: usize = 1024;

/// A store in memory. Clones are one store.
#[derive(Clone, Debug)]
pub struct MemoryStorage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    committed: Mutex<State>,
    writer: Arc<tokio::sync::Mutex<()>>,
    signals: broadcast::Sender<Topic>,
}

impl MemoryStorage {
    /// An empty store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store whose [`UnitOfWork::now`] is `clock`'s.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            clock,
            committed: Mutex::default(),
            writer: Arc::default(),
            signals: broadcast::channel(SIGNALS).0,
        }))
    }

    /// Another store, which begins with all that this one has committed: for tests that share an expensive beginning.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self::with_clock(self.0.clock.clone());
        *fork.0.committed.lock().unwrap_or_else(PoisonError::into_inner) = self.snapshot();
        fork
    }

    fn snapshot(&self) -> State {
        self.0.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>> {
        let writer = self.0.writer.clone().lock_owned().await;
        Ok(Box::new(Transaction { state: self.snapshot(), write: Some((self.clone(), writer)) }))
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        Ok(Box::new(Transaction { state: self.snapshot(), write: None }))
    }

    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        self.read().await
    }

    async fn announce(&self, topics: &[Topic]) {
        for topic in topics {
            // Without a waiter there is nobody to wake.
            let _ = self.0.signals.send(*topic);
        }
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        Box::pin(futures_util::stream::unfold(self.0.signals.subscribe(), |mut signals| async {
            match signals.recv().await {
                Ok(topic) => Some((Signal::Changed(topic), signals)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Signal::Lost, signals)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }

    async fn ready(&self) -> StorageResult<()> {
        Ok(())
    }
}

/// A snapshot, or a write transaction where it holds the writer.
#[derive(Debug)]
pub(crate) struct Transaction {
    state: State,
    write: Option<(MemoryStorage, OwnedMutexGuard<()>)>,
}

impl Transaction {
    /// What this transaction sees.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The same, to change it; refused in a snapshot.
    pub(crate) fn state_mut(&mut self) -> StorageResult<&mut State> {
        if self.write.is_some() { Ok(&mut self.state) } else { Err(StorageError::ReadOnly) }
    }
}

impl Repositories for Transaction {
    fn accounts(&mut self) -> &mut dyn AccountRepository {
        self
    }

    fn tokens(&mut self) -> &mut dyn TokenRepository {
        self
    }

    fn login_failures(&mut self) -> &mut dyn LoginFailureRepository {
        self
    }

    fn audit(&mut self) -> &mut dyn AuditRepository {
        self
    }

    fn tasks(&mut self) -> &mut dyn TaskRepository {
        self
    }

    fn machines(&mut self) -> &mut dyn MachineRepository {
        self
    }

    fn cdns(&mut self) -> &mut dyn CdnRepository {
        self
    }

    fn customers(&mut self) -> &mut dyn CustomerRepository {
        self
    }

    fn domains(&mut self) -> &mut dyn DomainRepository {
        self
    }

    fn companies(&mut self) -> &mut dyn CompanyRepository {
        self
    }

    fn traffic(&mut self) -> &mut dyn TrafficRepository {
        self
    }

    fn cities(&mut self) -> &mut dyn CityRepository {
        self
    }

    fn log_sources(&mut self) -> &mut dyn LogSourceRepository {
        self
    }

    fn log_chunks(&mut self) -> &mut dyn LogChunkRepository {
        self
    }

    fn jobs(&mut self) -> &mut dyn JobRepository {
        self
    }

    fn edges(&mut self) -> &mut dyn EdgeRepository {
        self
    }

    fn apps(&mut self) -> &mut dyn AppRepository {
        self
    }

    fn grants(&mut self) -> &mut dyn GrantRepository {
        self
    }

    fn items(&mut self) -> &mut dyn ItemRepository {
        self
    }

    fn releases(&mut self) -> &mut dyn ReleaseRepository {
        self
    }

    fn app_keys(&mut self) -> &mut dyn AppKeyRepository {
        self
    }

    fn nodes(&mut self) -> &mut dyn NodeRepository {
        self
    }

    fn deliveries(&mut self) -> &mut dyn DeliveryRepository {
        self
    }
}

#[async_trait]
impl UnitOfWork for Transaction {
    /// There is one writer at a time, so every lock is held already.
    async fn lock(&mut self, _key: LockKey) -> StorageResult<()> {
        self.state_mut().map(|_| ())
    }

    async fn now(&mut self) -> StorageResult<DateTime<Utc>> {
        match &self.write {
            Some((storage, _)) => Ok(storage.0.clock.now()),
            None => Err(StorageError::ReadOnly),
        }
    }

    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let (storage, _writer) = self.write.ok_or(StorageError::ReadOnly)?;
        *storage.0.committed.lock().unwrap_or_else(PoisonError::into_inner) = self.state;
        Ok(())
    }

    async fn commit_unflushed(self: Box<Self>) -> StorageResult<()> {
        self.commit().await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        Ok(())
    }
}
