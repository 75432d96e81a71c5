//! The store: transactions, snapshots, and wake-ups.

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use crate::account::{
    AccountId, AccountRepository, AuditRepository, LoginFailureRepository, TokenRepository,
};
use crate::cdn::{
    CdnRepository, CityRepository, CompanyRepository, CustomerRepository, DomainRepository, EdgeRepository,
    JobRepository, LogChunkRepository, LogSourceRepository, TrafficRepository,
};
use crate::config::{
    AppId, AppKeyRepository, AppRepository, DeliveryRepository, GrantRepository, ItemRepository,
    NodeRepository, ReleaseRepository,
};
use crate::ops::{MachineRepository, TaskRepository};

/// The answer of every repository method. "Not found" is `Ok(None)` or `Ok(false)`, never an error.
pub type StorageResult<T> = Result<T, StorageError>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
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
    /// Anything else the database said.
    #[error("the database refused")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
}

impl StorageError {
    /// Wraps what the database said.
    pub fn backend(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Backend(source.into())
    }
}

/// Use cases that a version column cannot protect are serialised by one of these. Who needs several locks takes them in
/// this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKey {
    /// Who may do what: accounts, their groups, and their grants. The last administrator must stay.
    Accounts,
    /// Whether this account has cdn access, and with which password. Taken before [`LockKey::Cdns`].
    Customer(AccountId),
    /// Cdn names, and which customer holds which domain.
    Cdns,
    /// Traffic, kept lines, and how far logs were read.
    Traffic,
    /// What an app's configuration is, and its revision.
    App(AppId),
}

/// Something other processes may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// There may be a job to claim.
    Jobs,
    /// What is published of an app changed.
    App(AppId),
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The topic changed; read it again.
    Changed(Topic),
    /// Signals may have been missed; read everything again.
    Lost,
}

/// A store. Cheap to share behind an `Arc`.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Begins a write transaction. On a single-writer store this waits for the writer.
    async fn begin(&self) -> StorageResult<Box<dyn UnitOfWork>>;

    /// Opens a snapshot: everything read through it was true at one moment. A write is [`StorageError::ReadOnly`].
    async fn read(&self) -> StorageResult<Box<dyn Repositories>>;

    /// Opens what is good for one question: cheaper than [`Storage::read`], but two questions may be answered of two
    /// moments. A write is [`StorageError::ReadOnly`].
    async fn peek(&self) -> StorageResult<Box<dyn Repositories>>;

    /// Wakes the waiters of all processes on this store. Called after a commit; best effort and outside of it, so a
    /// lost wake-up must cost only delay.
    async fn announce(&self, topics: &[Topic]);

    /// The wake-ups, from now on.
    fn signals(&self) -> BoxStream<'static, Signal>;

    /// Whether the store answers, with the schema this version needs.
    async fn ready(&self) -> StorageResult<()>;
}

/// The repositories of one transaction or snapshot: one accessor per aggregate.
pub trait Repositories: Send {
    /// Accounts.
    fn accounts(&mut self) -> &mut dyn AccountRepository;
    /// Access tokens.
    fn tokens(&mut self) -> &mut dyn TokenRepository;
    /// Failed log-ins.
    fn login_failures(&mut self) -> &mut dyn LoginFailureRepository;
    /// The audit trail.
    fn audit(&mut self) -> &mut dyn AuditRepository;
    /// Release tasks and their status.
    fn tasks(&mut self) -> &mut dyn TaskRepository;
    /// Machines.
    fn machines(&mut self) -> &mut dyn MachineRepository;
    /// Cdns.
    fn cdns(&mut self) -> &mut dyn CdnRepository;
    /// Customers of the cdns.
    fn customers(&mut self) -> &mut dyn CustomerRepository;
    /// Domains that customers hold.
    fn domains(&mut self) -> &mut dyn DomainRepository;
    /// Companies.
    fn companies(&mut self) -> &mut dyn CompanyRepository;
    /// Traffic.
    fn traffic(&mut self) -> &mut dyn TrafficRepository;
    /// Cities and the traffic that went there.
    fn cities(&mut self) -> &mut dyn CityRepository;
    /// How far access logs were read.
    fn log_sources(&mut self) -> &mut dyn LogSourceRepository;
    /// Kept lines of access logs.
    fn log_chunks(&mut self) -> &mut dyn LogChunkRepository;
    /// Refreshes and preloads.
    fn jobs(&mut self) -> &mut dyn JobRepository;
    /// Edges.
    fn edges(&mut self) -> &mut dyn EdgeRepository;
    /// Apps.
    fn apps(&mut self) -> &mut dyn AppRepository;
    /// Grants on apps.
    fn grants(&mut self) -> &mut dyn GrantRepository;
    /// Configuration items and their versions.
    fn items(&mut self) -> &mut dyn ItemRepository;
    /// Releases.
    fn releases(&mut self) -> &mut dyn ReleaseRepository;
    /// Keys of apps.
    fn app_keys(&mut self) -> &mut dyn AppKeyRepository;
    /// Nodes.
    fn nodes(&mut self) -> &mut dyn NodeRepository;
    /// What became of releases at nodes.
    fn deliveries(&mut self) -> &mut dyn DeliveryRepository;
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
    /// The same without waiting for the disk where all who use the store are on its machine: a loss of power, which ends
    /// them too, may undo it. For what is simply done again then.
    async fn commit_unflushed(self: Box<Self>) -> StorageResult<()>;
    /// Undoes everything.
    async fn rollback(self: Box<Self>) -> StorageResult<()>;
}
