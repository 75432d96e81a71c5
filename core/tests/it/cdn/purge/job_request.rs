//! Requests over several cdns: one percentage, and one retry for all parts.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, Reply, ScriptedProvider, ScriptedVendor};
use pilothouse_core::account::{Caller, Group};
use pilothouse_core::cdn::{JobKind, JobQuery, JobRequest, JobRunner, JobState, JobUrls, VendorCalls};
use pilothouse_core::ports::{ItemState, ProviderError};
use pilothouse_core::{ErrorKind, Order, Page};
use pilothouse_storage_memory::MemoryStorage;

const NEWEST: Page = Page { order: Order::Newest, ..Page::at(0, 10) };

/// A customer with a domain on own edges and on a vendor that takes two URLs at a time, and an operator.
struct RequestFixture {
    fixture: Fixture,
    clock: Arc<ManualClock>,
    edges: Arc<ScriptedProvider>,
    vendor: Arc<ScriptedVendor>,
    user: Caller,
    operator: Caller,
    runner: JobRunner,
    calls: VendorCalls,
}

impl RequestFixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let edges = Arc::new(ScriptedProvider::new(&["edge-1"]));
        let vendor = Arc::new(ScriptedVendor::new("vendor").with_capabilities(|can| can.purge_batch = 2));
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .provider("level3", edges.clone())
            .provider("vendor", vendor.clone())
            .build();
        fixture.cdn("level3").await;
        fixture.cdn("vendor").await;
        let user = fixture.customer("user", "level3", &["cdn.exrqs.com"]).await;
        fixture.domains(&user, "vendor", &["cdn.exrqs.com"]).await;
        let operator = fixture.account("operator", [Group::Cdn].into_iter().collect()).await;
        let runner = JobRunner::new(fixture.pilothouse.clone());
        let calls = VendorCalls::new(fixture.pilothouse.clone());
        Self { fixture, clock, edges, vendor, user, operator, runner, calls }
    }

    /// Queues a refresh of so many URLs, and does what is due.
    async fn refresh(&self, urls: usize) -> JobRequest {
        let urls: Vec<_> = (0..urls).map(|n| format!("http://cdn.exrqs.com/{n}")).collect();
        let urls = JobUrls::parse(JobKind::Refresh, &urls.join("|")).unwrap();
        self.fixture.pilothouse.jobs().add(&self.user, "user@example.com", &urls).await.unwrap();
        self.runner.turn().await.unwrap();
        self.only().await
    }

    async fn only(&self) -> JobRequest {
        let jobs = self.fixture.pilothouse.jobs();
        let listed = jobs.list_all(&self.operator, &JobQuery::default(), NEWEST).await.unwrap().rows;
        assert_eq!(jobs.list_own(&self.user, NEWEST).await.unwrap(), listed);
        <[JobRequest; 1]>::try_from(listed).unwrap()[0].clone()
    }

    /// Lets the vendor work for so many seconds.
    async fn pass(&self, seconds: i64) -> JobRequest {
        for _ in 0..seconds {
            self.calls.turn().await.unwrap();
            self.clock.advance(TimeDelta::seconds(1));
            self.runner.turn().await.unwrap();
        }
        self.only().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_several_cdns_has_one_percentage() {
    let fixture = RequestFixture::new().await;
    let request = fixture.refresh(3).await;
    let parts: Vec<_> = request.parts.0.iter().map(|part| (part.cdn.as_str(), part.urls)).collect();
    assert_eq!(parts, [("level3", 3), ("vendor", 2), ("vendor", 1)], "a job per cdn and batch");
    assert_eq!(request.task_id, request.parts.0[0].task_id);
    assert_eq!((request.parts.state(), request.parts.percent()), (JobState::Pending, 50));
    let jobs = fixture.fixture.pilothouse.jobs();
    for part in &request.parts.0 {
        let details = jobs.find(&fixture.user, &part.task_id).await.unwrap();
        assert_eq!((details.job.request, details.parts), (request.task_id.clone(), request.parts.clone()));
    }
    assert_eq!(fixture.pass(20).await.parts.percent(), 50, "the vendor has told nothing yet");
    fixture.vendor.set_state("http://cdn.exrqs.com/0", ItemState::Running(Some(50)));
    assert_eq!(fixture.pass(60).await.parts.percent(), 58);
    fixture.vendor.set_all(&ItemState::Done);
    let done = fixture.pass(60).await;
    assert_eq!((done.parts.state(), done.parts.percent()), (JobState::Done, 100));
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_request_tries_all_of_its_failed_parts_again() {
    let fixture = RequestFixture::new().await;
    fixture.edges.next("edge-1", Reply::Each(vec![Ok(()), Err(ProviderError::Refused("403".into()))]));
    fixture.vendor.set_bad("http://cdn.exrqs.com/1", ProviderError::Refused("no such host".into()));
    fixture.refresh(2).await;
    fixture.vendor.set_state("http://cdn.exrqs.com/0", ItemState::Done);
    let failed = fixture.pass(60).await;
    assert_eq!((failed.parts.state(), failed.parts.percent()), (JobState::Failed, 50));
    assert_eq!(failed.parts.reason(), "level3: edge-1: 403");

    let jobs = fixture.fixture.pilothouse.jobs();
    let refused = jobs.retry_request(&fixture.user, &failed.task_id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let second = &failed.parts.0[1].task_id;
    let absent = jobs.retry_request(&fixture.operator, second).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound, "a request is known by its first job");
    assert_eq!(jobs.retry_request(&fixture.operator, &failed.task_id).await.unwrap(), 2);
    assert_eq!(fixture.only().await.parts.state(), JobState::Pending);
    assert_eq!(jobs.retry_request(&fixture.operator, &failed.task_id).await.unwrap(), 0);
}
