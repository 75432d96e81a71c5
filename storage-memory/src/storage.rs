//! The store, its transactions and its wake-ups.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use pilothouse_core::ports::{
    Clock, LockKey, Repositories, Signal, Storage, StorageError, StorageResult, StoreInfo, SystemClock,
    Topic, UnitOfWork,
};
use tokio::sync::{OwnedMutexGuard, broadcast};

use crate::state::State;
use crate::store_identity::IdentityState;
use crate::strict::NothingElseAwaited;

/// Wake-ups that a slow waiter may fall behind before it is told that it lost some.
const SIGNALS: usize = 1024;

/// A store in memory. Clones are one store.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    shared: Arc<Shared>,
    strict: bool,
}

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
        let state = State { identity: IdentityState::new(clock.now()), ..State::default() };
        let shared = Shared {
            clock,
            committed: Mutex::new(state),
            writer: Arc::default(),
            signals: broadcast::channel(SIGNALS).0,
        };
        Self { shared: Arc::new(shared), strict: false }
    }

    /// The same store, which panics where its user awaits anything else while a transaction or a snapshot is open: on a
    /// real store that keeps others waiting. Only noticed on a runtime with one thread.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Another store, which begins with all that this one has committed: for tests that share an expensive beginning.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self { strict: self.strict, ..Self::with_clock(self.shared.clock.clone()) };
        *fork.shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = self.snapshot();
        fork
    }

    /// Puts the committed state of another store in the place of this one's, as the restore of a backup does.
    pub fn replace_with(&self, backup: &Self) {
        *self.shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = backup.snapshot();
    }

    fn open(&self, write: Option<(Self, OwnedMutexGuard<()>)>) -> Transaction {
        let strict = self.strict.then(NothingElseAwaited::watch).flatten();
        Transaction { state: self.snapshot(), write, _strict: strict }
    }

    fn snapshot(&self) -> State {
        self.shared.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let writer = self.shared.writer.clone().lock_owned().await;
        Ok(Box::new(self.open(Some((self.clone(), writer)))))
    }

    async fn read(&self) -> StorageResult<Box<dyn Repositories>> {
        Ok(Box::new(self.open(None)))
    }

    async fn announce(&self, topics: &[Topic]) {
        for topic in topics {
            // Without a waiter there is nobody to wake.
            let _ = self.shared.signals.send(*topic);
        }
    }

    fn signals(&self) -> BoxStream<'static, Signal> {
        Box::pin(futures_util::stream::unfold(self.shared.signals.subscribe(), |mut signals| async {
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

    fn info(&self) -> StoreInfo {
        StoreInfo { kind: "memory", schema: 0 }
    }

    async fn check_writable(&self) -> StorageResult<()> {
        Ok(())
    }
}

/// A snapshot, or a write transaction where it holds the writer.
#[derive(Debug)]
pub(crate) struct Transaction {
    state: State,
    write: Option<(MemoryStorage, OwnedMutexGuard<()>)>,
    _strict: Option<NothingElseAwaited>,
}

impl Transaction {
    /// State as this transaction sees it.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The same, to change it; refused in a snapshot.
    pub(crate) fn state_mut(&mut self) -> StorageResult<&mut State> {
        if self.write.is_some() { Ok(&mut self.state) } else { Err(StorageError::ReadOnly) }
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
            Some((storage, _)) => Ok(storage.shared.clock.now()),
            None => Err(StorageError::ReadOnly),
        }
    }

    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let (storage, _writer) = self.write.ok_or(StorageError::ReadOnly)?;
        *storage.shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = self.state;
        Ok(())
    }

    async fn commit_relaxed(self: Box<Self>) -> StorageResult<()> {
        self.commit().await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        Ok(())
    }
}
