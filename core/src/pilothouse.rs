//! The façade: the use cases of all families over one store, clock and settings.

use std::sync::Arc;

use crate::account::{
    Accounts, Audit, ConsoleSessions, Gates, LastUsedBuffer, Logins, Passwords, RefusalBuffer, Tokens,
};
use crate::cdn::{
    Alarms, Billing, CdnLogins, CdnServices, Cdns, Companies, Customers, Domains, Edges, Jobs, LogDownloads,
    LogIntake, Thresholds, Traffic,
};
use crate::config::{
    AppCache, AppKeys, Apps, ChangeSets, Delivery, Grants, Items, Nodes, Releases, ReportBuffer,
    RolloutFollows, Rollouts,
};
use crate::import::Imports;
use crate::ops::{Agents, Batches, Blobs, Machines, Tasks, Updates};
use crate::ports::{
    BlobStore, Clock, Ids, LogArchive, LogReader, Providers, RandomIds, ReleaseSource, Storage, SystemClock,
    WebhookSender,
};
use crate::pruning::ClockWatch;
use crate::readiness::ReadinessProbe;
use crate::system::System;
use crate::worker_health::WorkerHealth;
use crate::{Error, Result, Settings};

/// The domain. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Pilothouse(Arc<Handle>);

/// Shared inner state plus optional adapters.
#[derive(Clone, Debug)]
struct Handle {
    inner: Arc<Inner>,
    providers: Providers,
    log_archive: Option<Arc<dyn LogArchive>>,
    log_reader: Option<Arc<dyn LogReader>>,
    webhook_sender: Option<Arc<dyn WebhookSender>>,
    blob_store: Option<Arc<dyn BlobStore>>,
    release_source: Option<Arc<dyn ReleaseSource>>,
}

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: Settings,
    passwords: Passwords,
    gates: Gates,
    refusals: RefusalBuffer,
    last_used: LastUsedBuffer,
    app_cache: AppCache,
    reports: ReportBuffer,
    rollout_follows: RolloutFollows,
    worker_health: WorkerHealth,
    readiness_probe: ReadinessProbe,
    clock_watch: ClockWatch,
}

impl Pilothouse {
    /// Creates the domain over a store, with the machine's clock and randomness.
    pub fn new(storage: Arc<dyn Storage>, settings: Settings) -> Result<Self> {
        Self::with(storage, settings, Arc::new(SystemClock), Arc::new(RandomIds))
    }

    /// Creates the domain over a store, with the given clock and source of identifiers.
    pub fn with(
        storage: Arc<dyn Storage>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self> {
        let passwords = Passwords::new(settings.password_min_length)?;
        let inner = Inner {
            storage,
            clock,
            ids,
            settings,
            passwords,
            gates: Gates::default(),
            refusals: RefusalBuffer::default(),
            last_used: LastUsedBuffer::default(),
            app_cache: AppCache::default(),
            reports: ReportBuffer::default(),
            rollout_follows: RolloutFollows::default(),
            worker_health: WorkerHealth::default(),
            readiness_probe: ReadinessProbe::default(),
            clock_watch: ClockWatch::default(),
        };
        let handle = Handle {
            inner: Arc::new(inner),
            providers: Providers::default(),
            log_archive: None,
            log_reader: None,
            webhook_sender: None,
            blob_store: None,
            release_source: None,
        };
        Ok(Self(Arc::new(handle)))
    }

    /// Sets the providers of cdns, by the names in [`Settings::cdns`]. Clones made before go without.
    #[must_use]
    pub fn with_providers(mut self, providers: Providers) -> Self {
        Arc::make_mut(&mut self.0).providers = providers;
        self
    }

    /// Sets the archive of kept log lines; without one there is nothing to download.
    #[must_use]
    pub fn with_log_archive(mut self, archive: Arc<dyn LogArchive>) -> Self {
        Arc::make_mut(&mut self.0).log_archive = Some(archive);
        self
    }

    /// Sets the reader of logs that edges ship; without one none can be taken in.
    #[must_use]
    pub fn with_log_reader(mut self, reader: Arc<dyn LogReader>) -> Self {
        Arc::make_mut(&mut self.0).log_reader = Some(reader);
        self
    }

    /// Sets the sender of webhook deliveries; without one they stay where they are.
    #[must_use]
    pub fn with_webhook_sender(mut self, sender: Arc<dyn WebhookSender>) -> Self {
        Arc::make_mut(&mut self.0).webhook_sender = Some(sender);
        self
    }

    /// Sets the store of contents; without one no task can have a content.
    #[must_use]
    pub fn with_blob_store(mut self, store: Arc<dyn BlobStore>) -> Self {
        Arc::make_mut(&mut self.0).blob_store = Some(store);
        self
    }

    /// Sets the source of releases, from which a task that names no blob takes its content; without one it has none.
    #[must_use]
    pub fn with_release_source(mut self, source: Arc<dyn ReleaseSource>) -> Self {
        Arc::make_mut(&mut self.0).release_source = Some(source);
        self
    }

    /// The store behind all use cases.
    pub fn storage(&self) -> &dyn Storage {
        &*self.0.inner.storage
    }

    /// Clock of this process; leases use the store's clock instead.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.inner.clock
    }

    /// The settings given at construction.
    pub fn settings(&self) -> &Settings {
        &self.0.inner.settings
    }

    /// The CDN providers, by cdn.
    pub fn providers(&self) -> &Providers {
        &self.0.providers
    }

    /// The log archive; unavailable where the host has set up none.
    pub(crate) fn log_archive(&self) -> Result<&Arc<dyn LogArchive>> {
        self.0
            .log_archive
            .as_ref()
            .ok_or_else(|| Error::Unavailable("no archive of logs is set up".to_owned()))
    }

    /// The store of contents; unavailable where the host has set up none.
    pub fn blob_store(&self) -> Result<&Arc<dyn BlobStore>> {
        self.0.blob_store.as_ref().ok_or_else(|| Error::Unavailable("no store of blobs is set up".to_owned()))
    }

    pub(crate) fn release_source(&self) -> Option<&Arc<dyn ReleaseSource>> {
        self.0.release_source.as_ref()
    }

    pub(crate) fn log_reader(&self) -> Result<&Arc<dyn LogReader>> {
        self.0.log_reader.as_ref().ok_or_else(|| Error::Unavailable("no reader of logs is set up".to_owned()))
    }

    pub(crate) fn webhook_sender(&self) -> Option<&Arc<dyn WebhookSender>> {
        self.0.webhook_sender.as_ref()
    }

    pub(crate) fn ids(&self) -> &dyn Ids {
        &*self.0.inner.ids
    }

    /// The clock and the source of identifiers, for what outlives a borrow.
    pub(crate) fn shared_sources(&self) -> (Arc<dyn Clock>, Arc<dyn Ids>) {
        (self.0.inner.clock.clone(), self.0.inner.ids.clone())
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.inner.passwords
    }

    pub(crate) fn app_cache(&self) -> &AppCache {
        &self.0.inner.app_cache
    }

    pub(crate) fn refusals(&self) -> &RefusalBuffer {
        &self.0.inner.refusals
    }

    pub(crate) fn last_used(&self) -> &LastUsedBuffer {
        &self.0.inner.last_used
    }

    pub(crate) fn reports(&self) -> &ReportBuffer {
        &self.0.inner.reports
    }

    pub(crate) fn rollout_follows(&self) -> &RolloutFollows {
        &self.0.inner.rollout_follows
    }

    pub(crate) fn readiness_probe(&self) -> &ReadinessProbe {
        &self.0.inner.readiness_probe
    }

    pub(crate) fn clock_watch(&self) -> &ClockWatch {
        &self.0.inner.clock_watch
    }

    pub(crate) fn worker_health(&self) -> &WorkerHealth {
        &self.0.inner.worker_health
    }

    pub(crate) fn gates(&self) -> &Gates {
        &self.0.inner.gates
    }

    /// Housekeeping: flushes what is buffered in memory, and prunes what has ended, and blobs that no task names.
    pub async fn housekeep(&self) -> Result<()> {
        self.housekeep_store().await?;
        self.blobs().prune().await.map(|_| ())
    }

    /// Housekeeping of every minute, which asks nothing but the store.
    pub(crate) async fn housekeep_store(&self) -> Result<()> {
        self.flush_last_used().await?;
        self.flush_refusals().await?;
        self.flush_reports().await?;
        self.prune_nodes().await?;
        let mut work = self.storage().begin().await?;
        self.logins().prune(&mut *work).await?;
        if let Some(pruning) = self.begin_pruning(&mut *work).await? {
            work.tokens().prune(self.clock().now()).await?;
            self.jobs().prune(&mut *work, pruning).await?;
            self.alarms().prune(&mut *work, pruning).await?;
            self.prune_webhook_deliveries(&mut *work, pruning).await?;
        }
        Ok(work.commit().await?)
    }
}

/// Declares the use cases of the domain, each with its documentation: the method that gives them, and their type.
macro_rules! use_cases {
    ($($(#[$doc:meta])* $method:ident: $type:ident;)*) => {
        impl Pilothouse {
            $($(#[$doc])*
            pub fn $method(&self) -> $type<'_> {
                $type(self)
            })*
        }
    };
}

use_cases! {
    /// The use cases of accounts.
    accounts: Accounts;
    /// Log-ins with a password, throttled.
    logins: Logins;
    /// Sessions of the console.
    console_sessions: ConsoleSessions;
    /// The caller's own access tokens.
    tokens: Tokens;
    /// Reading the append-only audit trail.
    audit_trail: Audit;
    /// Release tasks and their status reports.
    tasks: Tasks;
    /// Machine inventory of the fleet.
    machines: Machines;
    /// Orders for tasks with a content.
    updates: Updates;
    /// Tasks for many machines, and their orders.
    batches: Batches;
    /// Agents of machines, and what they ask.
    agents: Agents;
    /// Contents of tasks.
    blobs: Blobs;
    /// The cdns that customers can be given.
    cdns: Cdns;
    /// Domains that providers serve, with their groups and services.
    cdn_services: CdnServices;
    /// Customers of the cdns.
    customers: Customers;
    /// Domains of customers, by cdn.
    domains: Domains;
    /// Logging in to the cdn family alone.
    cdn_logins: CdnLogins;
    /// Refresh and preload jobs.
    jobs: Jobs;
    /// State of own edges, for operators.
    edges: Edges;
    /// Thresholds of domains.
    thresholds: Thresholds;
    /// Alarms of domains, edges and their logs.
    alarms: Alarms;
    /// Companies and their owners' accounts.
    companies: Companies;
    /// Billable bandwidth of a month.
    billing: Billing;
    /// Downloads of kept log lines.
    log_downloads: LogDownloads;
    /// Intake of access logs.
    log_intake: LogIntake;
    /// Traffic, bandwidth and areas.
    traffic: Traffic;
    /// Apps of the configuration centre.
    apps: Apps;
    /// Grants of accounts on apps.
    grants: Grants;
    /// Configuration items with their versions.
    items: Items;
    /// Change sets: changes of several items at once.
    change_sets: ChangeSets;
    /// Releases of configuration items.
    releases: Releases;
    /// App keys, which nodes authenticate with.
    app_keys: AppKeys;
    /// Progress of releases over their nodes.
    rollouts: Rollouts;
    /// Configuration delivery to nodes.
    delivery: Delivery;
    /// Registered nodes, for operators.
    nodes: Nodes;
    /// State of this server, for operators.
    system: System;
    /// Import of what other systems knew, for the command line.
    imports: Imports;
}
