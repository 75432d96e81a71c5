//! The store: transactions, snapshots, and wake-ups.

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use super::Repositories;
use crate::account::AccountId;
use crate::config::AppId;
use crate::ops::MachineNumber;

/// The answer of every repository method. "Not found" is `Ok(None)` or `Ok(false)`, never an error.
pub type StorageResult<T> = Result<T, StorageError>;

/// Errors of a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A write through [`Storage::read`].
    #[error("a snapshot cannot be written to")]
    ReadOnly,
    /// The connection broke while the commit was under way: it happened or it did not, and nobody knows.
    #[error("it is unknown whether the commit happened")]
    CommitUnknown(#[source] Box<dyn StdError + Send + Sync>),
    /// The database holds something this version cannot read.
    #[error("the store holds an unreadable {what}")]
    Corrupt {
        /// The column or file.
        what: &'static str,
    },
    /// The store has stopped for good: a flush to the disk failed, its file was replaced or deleted, or it was closed.
    /// Every call fails from then on; only opening it again, in practice a restart of the process, shows what it holds.
    #[error("the store has stopped")]
    Stopped(#[source] Box<dyn StdError + Send + Sync>),
    /// The database cannot be reached, has no room, or did not answer in time. Nothing was written, and the same may
    /// succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Any other refusal of the database.
    #[error("the database refused")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
}

impl StorageError {
    /// Wraps an error of the database.
    pub fn backend(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Backend(source.into())
    }
}

/// Use cases that a version column cannot protect are serialised by one of these. Who needs several locks takes them in
/// this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKey {
    /// Rights: accounts, their groups, and their grants. The last administrator must stay.
    Accounts,
    /// Whether this account has cdn access, and with which password. Taken before [`LockKey::Cdns`].
    Customer(AccountId),
    /// Cdn names, and which customer holds which domain.
    Cdns,
    /// Traffic, kept lines, and how far logs were read.
    Traffic,
    /// Deletion of old rows: the share of the day that is left.
    Pruning,
    /// An app's configuration and its revision.
    App(AppId),
    /// Names of machines, of which none differs from another only by case.
    Machines,
    /// Whether an event was queued already that is queued once.
    Events,
    /// Which blobs tasks name.
    Blobs,
    /// Which alarms are open.
    Alarms,
}

/// Something other processes may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// A job may be waiting to be claimed.
    Jobs,
    /// The published configuration of an app changed.
    App(AppId),
    /// An order for a machine may be waiting to be claimed.
    Machine(MachineNumber),
    /// Orders ended, so batches may go on.
    Batches,
}

/// A wake-up, as a waiter receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The topic changed; read it again.
    Changed(Topic),
    /// Signals may have been missed; read everything again.
    Lost,
}

/// Kind and schema of a store, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Kind of the store: `memory`, `sqlite`, `postgres`, or a host's own word.
    pub kind: &'static str,
    /// Version of its schema that this program is made for; 0 of a store without one.
    pub schema: i64,
}

/// A store. Cheap to share behind an `Arc`.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Begins a write transaction. On a single-writer store this waits for the writer.
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>>;

    /// Opens a snapshot: everything read through it was true at one moment. A write is [`StorageError::ReadOnly`].
    async fn read(&self) -> StorageResult<Box<dyn Repositories>>;

    /// Opens what is good for one question: cheaper than [`Storage::read`], but two questions may be answered of two
    /// moments. A write is [`StorageError::ReadOnly`]. A store that has nothing cheaper opens a snapshot.
    async fn peek(&self) -> StorageResult<Box<dyn Repositories>> {
        self.read().await
    }

    /// Wakes the waiters of all processes on this store. Called after a commit; best effort and outside of it, so a
    /// lost wake-up must cost only delay.
    async fn announce(&self, topics: &[Topic]);

    /// The wake-ups, from now on.
    fn signals(&self) -> BoxStream<'static, Signal>;

    /// Kind and schema of the store.
    fn info(&self) -> StoreInfo;

    /// Whether the store answers, with the schema this version needs.
    async fn ready(&self) -> StorageResult<()>;

    /// Probes with a small write whether writes succeed now: there is room, the database is not read-only, the store
    /// has not stopped. Costs one small commit and may wait as long as any write, so callers cache the answer and set a
    /// time limit.
    async fn check_writable(&self) -> StorageResult<()>;
}

/// A write transaction. Dropped without [`UnitOfWork::commit`], it is rolled back.
#[async_trait]
pub trait UnitOfWork: Repositories {
    /// Waits until no other transaction holds `key`, and holds it until this one ends.
    async fn lock(&mut self, key: LockKey) -> StorageResult<()>;
    /// The store's clock. Leases are compared only against it.
    async fn now(&mut self) -> StorageResult<DateTime<Utc>>;
    /// Makes everything durable, then visible to others, then returns.
    async fn commit(self: Box<Self>) -> StorageResult<()>;
    /// The same without waiting for the disk where all who use the store are on its machine: a loss of power, which
    /// ends them too, may undo it. For what is simply done again then.
    async fn commit_relaxed(self: Box<Self>) -> StorageResult<()>;
    /// Rolls back every write of the transaction.
    async fn rollback(self: Box<Self>) -> StorageResult<()>;
}
