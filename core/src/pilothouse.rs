//! The domain as one value: the use cases over a store, a clock and settings.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::account::{
    Accounts, Audit, AuditRow, Caller, Entry, Gates, Group, Logins, Passwords, Scope, TokenId, Tokens,
};
use crate::cdn::{CdnLogins, Cdns, Companies, Customers, Domains, Edges, Jobs, LogShipper, Traffic};
use crate::config::{AppKeys, Apps, FeedTable, Feeds, Grants, Items, Nodes, Releases, Reports, Rollouts};
use crate::ops::{Machines, Tasks};
use crate::ports::{
    Clock, Ids, LogArchive, LogReader, Providers, RandomIds, Storage, SystemClock, UnitOfWork,
};
use crate::{Error, Result, SecretKey};

/// What an operator decides. `Settings::default()` holds the documented defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a token lives: 12 hours.
    pub token_life: TimeDelta,
    /// The fewest characters of a password: 8.
    pub password_min_length: usize,
    /// The names of the cdns that have a provider: none.
    pub cdns: Vec<String>,
    /// The zone of the times people read, in which days of logs begin: `Asia/Shanghai`.
    pub timezone: chrono_tz::Tz,
    /// Where users reach the server, for links: `http://127.0.0.1:8080`.
    pub public_url: String,
    /// What keys are derived from: random, so that another process cannot read what this one signed.
    pub secret: SecretKey,
    /// Whether logs are read with a city database, without which there are no areas: false.
    pub geo_city_database: bool,
    /// For how many days kept lines can be downloaded: 92.
    pub log_days: u32,
    /// For how many days traffic is known by city: 92.
    pub city_days: u32,
    /// For how many days traffic is known: 800.
    pub traffic_days: u32,
    /// The edges that may ship their logs: none.
    pub log_shippers: Vec<LogShipper>,
    /// The profiles in which nobody approves their own change: none.
    pub four_eyes_profiles: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_life: TimeDelta::hours(12),
            password_min_length: 8,
            cdns: Vec::new(),
            timezone: chrono_tz::Asia::Shanghai,
            public_url: "http://127.0.0.1:8080".to_owned(),
            secret: SecretKey::default(),
            geo_city_database: false,
            log_days: 92,
            city_days: 92,
            traffic_days: 800,
            log_shippers: Vec::new(),
            four_eyes_profiles: Vec::new(),
        }
    }
}

/// The domain. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Pilothouse(Arc<Outfit>);

/// The one domain with what may be added to it.
#[derive(Clone, Debug)]
struct Outfit {
    inner: Arc<Inner>,
    providers: Providers,
    log_archive: Option<Arc<dyn LogArchive>>,
    log_reader: Option<Arc<dyn LogReader>>,
}

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: Settings,
    passwords: Passwords,
    gates: Gates,
    refusals: Mutex<HashMap<Refusal, i64>>,
    last_used: Mutex<HashMap<TokenId, DateTime<Utc>>>,
    feeds: FeedTable,
    reports: Reports,
}

/// Refusals are counted per actor, address, right and minute, so that they cannot fill a disk.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Refusal {
    minute: DateTime<Utc>,
    actor: i64,
    actor_name: String,
    address: Option<std::net::IpAddr>,
    right: String,
}

impl Pilothouse {
    /// Over a store, with the machine's clock and randomness.
    pub fn new(storage: Arc<dyn Storage>, settings: Settings) -> Result<Self> {
        Self::with(storage, settings, Arc::new(SystemClock), Arc::new(RandomIds))
    }

    /// Over a store, with a clock and a source of identifiers of one's own.
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
            refusals: Mutex::default(),
            last_used: Mutex::default(),
            feeds: FeedTable::default(),
            reports: Reports::default(),
        };
        let outfit = Outfit {
            inner: Arc::new(inner),
            providers: Providers::default(),
            log_archive: None,
            log_reader: None,
        };
        Ok(Self(Arc::new(outfit)))
    }

    /// With providers behind cdns, by the names in [`Settings::cdns`]. Clones made before go without.
    #[must_use]
    pub fn with_providers(mut self, providers: Providers) -> Self {
        Arc::make_mut(&mut self.0).providers = providers;
        self
    }

    /// The same domain with a place for kept lines of access logs; without one there is nothing to download.
    #[must_use]
    pub fn with_log_archive(mut self, archive: Arc<dyn LogArchive>) -> Self {
        Arc::make_mut(&mut self.0).log_archive = Some(archive);
        self
    }

    /// The same domain with somebody who understands the logs that edges ship; without, none can be taken in.
    #[must_use]
    pub fn with_log_reader(mut self, reader: Arc<dyn LogReader>) -> Self {
        Arc::make_mut(&mut self.0).log_reader = Some(reader);
        self
    }

    /// The use cases of accounts.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }

    /// Logging in.
    pub fn logins(&self) -> Logins<'_> {
        Logins(self)
    }

    /// One's own tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// The audit trail.
    pub fn audit_trail(&self) -> Audit<'_> {
        Audit(self)
    }

    /// Release tasks.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks(self)
    }

    /// Machines.
    pub fn machines(&self) -> Machines<'_> {
        Machines(self)
    }

    /// Cdns.
    pub fn cdns(&self) -> Cdns<'_> {
        Cdns(self)
    }

    /// Customers of the cdns.
    pub fn customers(&self) -> Customers<'_> {
        Customers(self)
    }

    /// Customers' domains.
    pub fn domains(&self) -> Domains<'_> {
        Domains(self)
    }

    /// Logging in to the cdn family alone.
    pub fn cdn_logins(&self) -> CdnLogins<'_> {
        CdnLogins(self)
    }

    /// Refreshes and preloads.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs(self)
    }

    /// Edges.
    pub fn edges(&self) -> Edges<'_> {
        Edges(self)
    }

    /// Companies.
    pub fn companies(&self) -> Companies<'_> {
        Companies(self)
    }

    /// Traffic, and the logs it is read from.
    pub fn traffic(&self) -> Traffic<'_> {
        Traffic(self)
    }

    /// Apps.
    pub fn apps(&self) -> Apps<'_> {
        Apps(self)
    }

    /// Grants on apps.
    pub fn grants(&self) -> Grants<'_> {
        Grants(self)
    }

    /// Configuration items.
    pub fn items(&self) -> Items<'_> {
        Items(self)
    }

    /// Releases of configuration items.
    pub fn releases(&self) -> Releases<'_> {
        Releases(self)
    }

    /// Keys of apps.
    pub fn app_keys(&self) -> AppKeys<'_> {
        AppKeys(self)
    }

    /// How far releases have come.
    pub fn rollouts(&self) -> Rollouts<'_> {
        Rollouts(self)
    }

    /// The apps' configuration as their nodes get it.
    pub fn feeds(&self) -> Feeds<'_> {
        Feeds(self)
    }

    /// Nodes.
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes(self)
    }

    /// The store.
    pub fn storage(&self) -> &dyn Storage {
        &*self.0.inner.storage
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.inner.clock
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.inner.settings
    }

    /// The providers.
    pub fn providers(&self) -> &Providers {
        &self.0.providers
    }

    /// Where kept lines lie; unavailable where the program that embeds this has set up none.
    pub(crate) fn log_archive(&self) -> Result<&Arc<dyn LogArchive>> {
        self.0
            .log_archive
            .as_ref()
            .ok_or_else(|| Error::Unavailable("no archive of logs is set up".to_owned()))
    }

    pub(crate) fn log_reader(&self) -> Result<&Arc<dyn LogReader>> {
        self.0.log_reader.as_ref().ok_or_else(|| Error::Unavailable("no reader of logs is set up".to_owned()))
    }

    pub(crate) fn ids(&self) -> &dyn Ids {
        &*self.0.inner.ids
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.inner.passwords
    }

    pub(crate) fn feed_table(&self) -> &FeedTable {
        &self.0.inner.feeds
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.0.inner.reports
    }

    pub(crate) fn gates(&self) -> &Gates {
        &self.0.inner.gates
    }

    /// Refuses a caller that does not hold `group`.
    pub(crate) fn require(&self, caller: &Caller, group: Group) -> Result<()> {
        if caller.holds(group) { Ok(()) } else { Err(self.refuse(caller, &format!("group {}", group.id()))) }
    }

    /// Refuses a token that opens only the cdn family.
    pub fn require_account_scope(&self, caller: &Caller) -> Result<()> {
        match caller.scope {
            Scope::Account => Ok(()),
            Scope::Cdn => Err(self.refuse(caller, "a token for the whole account")),
        }
    }

    /// Counts a refusal for the audit trail; `right` is what was missing.
    pub(crate) fn refuse(&self, caller: &Caller, right: &str) -> Error {
        let now = self.clock().now();
        let refusal = Refusal {
            minute: now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now),
            actor: caller.id,
            actor_name: caller.name.clone(),
            address: caller.address,
            right: right.to_owned(),
        };
        *lock(&self.0.inner.refusals).entry(refusal).or_default() += 1;
        Error::Forbidden
    }

    /// Writes an entry within the transaction of the deed itself.
    pub(crate) async fn audit(&self, work: &mut dyn UnitOfWork, caller: &Caller, entry: Entry) -> Result<()> {
        self.append(work, Some(caller), entry).await
    }

    /// Writes an entry of the command line.
    pub(crate) async fn audit_command(&self, work: &mut dyn UnitOfWork, entry: Entry) -> Result<()> {
        self.append(work, None, entry).await
    }

    async fn append(&self, work: &mut dyn UnitOfWork, caller: Option<&Caller>, entry: Entry) -> Result<()> {
        let Entry { action, object, old, new } = entry;
        let row = AuditRow {
            id: 0,
            at: self.clock().now(),
            actor: caller.map(|caller| caller.id),
            actor_name: caller.map_or("command line", |caller| &caller.name).to_owned(),
            address: caller.and_then(|caller| caller.address),
            action: action.to_owned(),
            object,
            old,
            new,
            count: 1,
        };
        Ok(work.audit().append(&row).await?)
    }

    pub(crate) fn note_use(&self, token: TokenId, at: DateTime<Utc>) {
        lock(&self.0.inner.last_used).insert(token, at);
    }

    pub(crate) async fn flush_last_used(&self) -> Result<()> {
        let used: Vec<_> = mem::take(&mut *lock(&self.0.inner.last_used)).into_iter().collect();
        if used.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        work.tokens().touch(&used).await?;
        Ok(work.commit().await?)
    }

    pub(crate) async fn flush_refusals(&self) -> Result<()> {
        let refusals = mem::take(&mut *lock(&self.0.inner.refusals));
        if refusals.is_empty() {
            return Ok(());
        }
        let mut work = self.storage().begin().await?;
        for (refusal, count) in refusals {
            let row = AuditRow {
                id: 0,
                at: refusal.minute,
                actor: Some(refusal.actor),
                actor_name: refusal.actor_name,
                address: refusal.address,
                action: "refused".to_owned(),
                object: refusal.right,
                old: None,
                new: None,
                count,
            };
            work.audit().append(&row).await?;
        }
        Ok(work.commit().await?)
    }

    /// What is to be done every minute: notes kept in memory go to the store, what has ended is forgotten.
    pub async fn housekeep(&self) -> Result<()> {
        self.flush_last_used().await?;
        self.flush_refusals().await?;
        self.flush_reports().await?;
        self.tidy_nodes().await?;
        let mut work = self.storage().begin().await?;
        self.logins().prune(&mut *work).await?;
        work.tokens().prune(self.clock().now()).await?;
        self.jobs().prune(&mut *work).await?;
        Ok(work.commit().await?)
    }
}

/// A poisoned map is still a map: what it counts is never half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
