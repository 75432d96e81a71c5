//! A customer with domains on two cdns, a clock that stands still, and providers that do as they are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::account::{Account, AccountId, Caller, Group, Groups, Scope};
use pilothouse_core::cdn::{Customer, Job, JobDetails, JobEngine, JobKind};
use pilothouse_core::ports::{
    Capabilities, CdnProvider, Clock, Outcomes, ProviderError, Providers, Purge, RandomIds, Storage,
};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;
use tokio::sync::Notify;

pub(crate) const MAIL: &str = "user@example.com";
pub(crate) const OTHER: &str = "other@example.com";

/// Moves only when told to.
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    pub(crate) fn at(seconds: i64) -> Self {
        Self(Mutex::new(DateTime::from_timestamp(seconds, 0).unwrap()))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// How an edge answers one call.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The call as a whole fails.
    Fails(ProviderError),
    /// Each URL has its own outcome.
    Each(Outcomes),
    /// Nothing, until told to go on; then everything is confirmed.
    Waits(Arc<Notify>),
}

/// Confirms everything, except where its script says otherwise.
#[derive(Debug)]
pub(crate) struct Fake {
    can: Capabilities,
    script: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    calls: Mutex<Vec<(String, Vec<String>)>>,
    domains: Mutex<Result<Vec<String>, ProviderError>>,
}

impl Fake {
    pub(crate) fn new(edges: &[&str]) -> Self {
        let can = Capabilities {
            purge_urls: true,
            purge_prefix: true,
            preload: true,
            list_domains: false,
            purge_batch: 1000,
            preload_batch: 1000,
            urls_per_second: None,
            edges: edges.iter().map(|edge| (*edge).to_owned()).collect(),
        };
        Self { can, script: Mutex::default(), calls: Mutex::default(), domains: Mutex::new(Ok(Vec::new())) }
    }

    pub(crate) fn that(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.can);
        self
    }

    pub(crate) fn next(&self, edge: &str, reply: Reply) {
        self.script.lock().unwrap().entry(edge.to_owned()).or_default().push_back(reply);
    }

    pub(crate) fn serves(&self, domains: Result<&[&str], ProviderError>) {
        let owned = |domains: &[&str]| domains.iter().map(|domain| (*domain).to_owned()).collect();
        *self.domains.lock().unwrap() = domains.map(owned);
    }

    /// The calls since last asked, as edge and number of URLs, by edge.
    pub(crate) fn calls(&self) -> Vec<(String, usize)> {
        let mut calls: Vec<_> =
            self.calls.lock().unwrap().drain(..).map(|(edge, urls)| (edge, urls.len())).collect();
        calls.sort();
        calls
    }

    /// The same with the URLs.
    pub(crate) fn urls(&self) -> Vec<(String, Vec<String>)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    async fn answer(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError> {
        self.calls.lock().unwrap().push((edge.to_owned(), urls.to_vec()));
        let reply = self.script.lock().unwrap().get_mut(edge).and_then(VecDeque::pop_front);
        match reply {
            Some(Reply::Fails(error)) => Err(error),
            Some(Reply::Each(outcomes)) => Ok(outcomes),
            Some(Reply::Waits(go)) => {
                go.notified().await;
                Ok(vec![Ok(()); urls.len()])
            }
            None => Ok(vec![Ok(()); urls.len()]),
        }
    }
}

#[async_trait]
impl CdnProvider for Fake {
    fn capabilities(&self) -> &Capabilities {
        &self.can
    }

    async fn purge(&self, edge: &str, purges: &[Purge]) -> Result<Outcomes, ProviderError> {
        let urls: Vec<_> = purges.iter().map(|purge| purge.url.clone()).collect();
        self.answer(edge, &urls).await
    }

    async fn preload(&self, edge: &str, urls: &[String]) -> Result<Outcomes, ProviderError> {
        self.answer(edge, urls).await
    }

    async fn domains(&self) -> Result<Vec<String>, ProviderError> {
        self.domains.lock().unwrap().clone()
    }
}

pub(crate) fn down() -> ProviderError {
    ProviderError::Unavailable("connection refused".into())
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) pilothouse: Pilothouse,
    /// Behind `level3`.
    pub(crate) level3: Arc<Fake>,
    /// `user@example.com`, a customer with cdn.exrqs.com and img.exrqs.com on `level3`.
    pub(crate) user: Caller,
    /// A customer with other.com on `level3`.
    pub(crate) other: Caller,
    /// Holds group 8 and has no cdn access.
    pub(crate) operator: Caller,
}

impl World {
    /// Where `level3` has this provider, and `qcloud` none.
    pub(crate) async fn with(level3: Fake) -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::with_clock(clock.clone()));
        let level3 = Arc::new(level3);
        let providers: Providers =
            [("level3".to_owned(), level3.clone() as Arc<dyn CdnProvider>)].into_iter().collect();
        let ids = Arc::new(RandomIds);
        let pilothouse = Pilothouse::with(storage.clone(), Settings::default(), clock.clone(), ids).unwrap();
        let pilothouse = pilothouse.with_providers(providers);
        let mut work = storage.begin().await.unwrap();
        for cdn in ["level3", "qcloud"] {
            work.cdns().insert(cdn).await.unwrap().unwrap();
        }
        work.commit().await.unwrap();
        let user = customer(&storage, MAIL, &["cdn.exrqs.com", "img.exrqs.com"]).await;
        let other = customer(&storage, OTHER, &["other.com"]).await;
        let operator = Caller {
            groups: [Group::Cdn].into_iter().collect(),
            ..caller(account(&storage, "operator@example.com").await, "operator@example.com")
        };
        Self { clock, storage, pilothouse, level3, user, other, operator }
    }

    /// With three edges that confirm everything.
    pub(crate) async fn new() -> Self {
        Self::with(Fake::new(&["edge-1", "edge-2", "edge-3"])).await
    }

    /// The same world with another provider behind `level3`, as after a restart with other settings.
    pub(crate) fn restarted(&self, level3: Fake) -> (Pilothouse, Arc<Fake>) {
        let level3 = Arc::new(level3);
        let providers = [("level3".to_owned(), level3.clone() as Arc<dyn CdnProvider>)].into_iter().collect();
        (self.pilothouse.clone().with_providers(providers), level3)
    }

    /// Gives the user a domain on `qcloud`, which has no provider.
    pub(crate) async fn add_qcloud_domain(&self, name: &str) {
        let mut work = self.storage.begin().await.unwrap();
        let qcloud = work.cdns().by_name("qcloud").await.unwrap().unwrap().id;
        work.customers().map(self.user.id, qcloud).await.unwrap();
        assert!(work.domains().claim(self.user.id, qcloud, name).await.unwrap());
        work.commit().await.unwrap();
    }

    pub(crate) async fn release(&self, name: &str) {
        let mut work = self.storage.begin().await.unwrap();
        let held = work.domains().of_account(self.user.id, None).await.unwrap();
        let ids: Vec<_> = held.iter().filter(|domain| domain.name == name).map(|domain| domain.id).collect();
        work.domains().release(&ids).await.unwrap();
        work.commit().await.unwrap();
    }

    pub(crate) async fn set_operations(&self, operations: bool) {
        let mut work = self.storage.begin().await.unwrap();
        let held = work.customers().find(self.user.id).await.unwrap().unwrap();
        assert!(work.customers().update(&Customer { operations, ..held }).await.unwrap());
        work.commit().await.unwrap();
    }

    /// Queues a refresh that makes one job.
    pub(crate) async fn refresh(&self, path: &str) -> Job {
        let jobs = self.pilothouse.jobs().add(&self.user, JobKind::Refresh, MAIL, path).await.unwrap();
        <[Job; 1]>::try_from(jobs).unwrap()[0].clone()
    }

    /// The present state of a job.
    pub(crate) async fn job(&self, job: &Job) -> Job {
        self.storage.read().await.unwrap().jobs().find(&job.task_id).await.unwrap().unwrap()
    }

    pub(crate) async fn details(&self, job: &Job) -> JobDetails {
        self.pilothouse.jobs().find(&self.user, &job.task_id).await.unwrap()
    }

    pub(crate) fn engine(&self) -> JobEngine {
        JobEngine::new(self.pilothouse.clone())
    }
}

pub(crate) fn caller(id: AccountId, mail: &str) -> Caller {
    Caller {
        id,
        name: mail.split('@').next().unwrap().to_owned(),
        mail: mail.to_owned(),
        groups: Groups::NONE,
        scope: Scope::Account,
        token: None,
        address: None,
    }
}

async fn account(storage: &Arc<dyn Storage>, mail: &str) -> AccountId {
    let Caller { name, mail, groups, .. } = caller(0, mail);
    let account = Account { id: 0, name, mail, department: "ops".into(), groups, password: None, version: 1 };
    let mut work = storage.begin().await.unwrap();
    let id = work.accounts().insert(&account).await.unwrap().unwrap();
    work.commit().await.unwrap();
    id
}

async fn customer(storage: &Arc<dyn Storage>, mail: &str, domains: &[&str]) -> Caller {
    let account_id = account(storage, mail).await;
    let mut work = storage.begin().await.unwrap();
    let (mail, password) = (mail.to_owned(), String::new());
    let customer = Customer { account_id, mail: mail.clone(), password, operations: true, version: 1 };
    assert!(work.customers().insert(&customer).await.unwrap());
    let level3 = work.cdns().by_name("level3").await.unwrap().unwrap().id;
    work.customers().map(account_id, level3).await.unwrap();
    for domain in domains {
        assert!(work.domains().claim(account_id, level3, domain).await.unwrap());
    }
    work.commit().await.unwrap();
    caller(account_id, &mail)
}
