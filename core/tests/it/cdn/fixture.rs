//! Customers with domains on two cdns, a manual clock, and a scripted provider.

use std::sync::Arc;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedProvider};
use pilothouse_core::account::{Caller, Group};
use pilothouse_core::cdn::{Customer, Job, JobDetails, JobKind, JobRunner, JobUrls};
use pilothouse_core::ports::{CdnProvider, Storage};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;

pub(crate) const USER_MAIL: &str = "user@example.com";
pub(crate) const OTHER_MAIL: &str = "other@example.com";

/// Two customers and an operator on the cdns `level3`, which has a provider, and `qcloud`, which has none.
pub(crate) struct CdnFixture {
    fixture: Fixture,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) pilothouse: Pilothouse,
    /// The provider of `level3`.
    pub(crate) level3: Arc<ScriptedProvider>,
    /// `user@example.com`, a customer with cdn.exrqs.com and img.exrqs.com on `level3`.
    pub(crate) user: Caller,
    /// A customer with other.com on `level3`.
    pub(crate) other: Caller,
    /// An operator, in group 8, without cdn access of its own.
    pub(crate) operator: Caller,
}

impl CdnFixture {
    /// With this provider behind `level3`.
    pub(crate) async fn with(level3: ScriptedProvider) -> Self {
        Self::with_settings(level3, Settings::default()).await
    }

    pub(crate) async fn with_settings(level3: ScriptedProvider, settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let level3 = Arc::new(level3);
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .settings(settings)
            .provider("level3", level3.clone())
            .build();
        fixture.cdn("level3").await;
        fixture.cdn("qcloud").await;
        let user = fixture.customer("user", "level3", &["cdn.exrqs.com", "img.exrqs.com"]).await;
        let other = fixture.customer("other", "level3", &["other.com"]).await;
        let operator = fixture.account("operator", [Group::Cdn].into_iter().collect()).await;
        let (storage, pilothouse) = (fixture.storage.clone(), fixture.pilothouse.clone());
        Self { fixture, clock, storage, pilothouse, level3, user, other, operator }
    }

    /// With three edges that confirm everything.
    pub(crate) async fn new() -> Self {
        Self::with(ScriptedProvider::new(&["edge-1", "edge-2", "edge-3"])).await
    }

    /// A server over the same store with another provider behind `level3`, as after a restart with other settings.
    pub(crate) fn with_provider(&self, level3: ScriptedProvider) -> (Pilothouse, Arc<ScriptedProvider>) {
        let level3 = Arc::new(level3);
        let providers = [("level3".to_owned(), level3.clone() as Arc<dyn CdnProvider>)].into_iter().collect();
        (self.pilothouse.clone().with_providers(providers), level3)
    }

    /// Gives the user a domain on `qcloud`, which has no provider.
    pub(crate) async fn add_qcloud_domain(&self, name: &str) {
        self.fixture.domains(&self.user, "qcloud", &[name]).await;
    }

    /// Takes a domain from the user.
    pub(crate) async fn release(&self, name: &str) {
        let mut work = self.storage.begin().await.unwrap();
        let domains = work.domains().of_account(self.user.id, None).await.unwrap();
        let ids: Vec<_> =
            domains.iter().filter(|domain| domain.name == name).map(|domain| domain.id).collect();
        work.domains().release(&ids).await.unwrap();
        work.commit().await.unwrap();
    }

    /// Allows or forbids the user to refresh and preload.
    pub(crate) async fn set_operations(&self, operations: bool) {
        let mut work = self.storage.begin().await.unwrap();
        let customer = work.customers().find(self.user.id).await.unwrap().unwrap();
        assert!(work.customers().update(&Customer { operations, ..customer }).await.unwrap());
        work.commit().await.unwrap();
    }

    /// Queues a refresh that fits into one job.
    pub(crate) async fn refresh(&self, path: &str) -> Job {
        let urls = JobUrls::parse(JobKind::Refresh, path).unwrap();
        let jobs = self.pilothouse.jobs().add(&self.user, USER_MAIL, &urls).await.unwrap();
        <[Job; 1]>::try_from(jobs).unwrap()[0].clone()
    }

    /// A job as the store has it now.
    pub(crate) async fn job(&self, job: &Job) -> Job {
        self.storage.read().await.unwrap().jobs().find(&job.task_id).await.unwrap().unwrap()
    }

    pub(crate) async fn details(&self, job: &Job) -> JobDetails {
        self.pilothouse.jobs().find(&self.user, &job.task_id).await.unwrap()
    }

    pub(crate) fn job_runner(&self) -> JobRunner {
        JobRunner::new(self.pilothouse.clone())
    }
}
