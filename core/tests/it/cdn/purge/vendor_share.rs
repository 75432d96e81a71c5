//! Share of a customer in a vendor's quota, against a scripted vendor.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedVendor};
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{CellState, Job, JobKind, JobRunner, JobUrls, VendorCalls};
use pilothouse_core::ports::{Clock, Operation, Quota};
use pilothouse_storage_memory::MemoryStorage;

/// Two customers on a vendor of which each may use 30 percent.
struct ShareFixture {
    fixture: Fixture,
    clock: Arc<ManualClock>,
    vendor: Arc<ScriptedVendor>,
    ann: Caller,
    bob: Caller,
    runner: JobRunner,
    resets_at: DateTime<Utc>,
}

impl ShareFixture {
    async fn new(percent: u8) -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let vendor = Arc::new(ScriptedVendor::new("qcloud").with_capabilities(|can| {
            can.quota = true;
            can.share_per_customer = percent;
        }));
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .provider("qcloud", vendor.clone())
            .build();
        fixture.cdn("qcloud").await;
        let ann = fixture.customer("ann", "qcloud", &["ann.com"]).await;
        let bob = fixture.customer("bob", "qcloud", &["bob.com"]).await;
        let runner = JobRunner::new(fixture.pilothouse.clone());
        let resets_at = clock.now() + TimeDelta::hours(6);
        let this = Self { fixture, clock, vendor, ann, bob, runner, resets_at };
        this.set_quota(resets_at);
        this
    }

    /// Sets a quota of 10 URLs.
    fn set_quota(&self, resets_at: DateTime<Utc>) {
        let (pool, groups) = ("mainland".into(), Vec::new());
        let quota = Quota { operation: Operation::PurgeUrls, pool, groups, total: 10, left: 10, resets_at };
        self.vendor.set_quotas(vec![quota]);
    }

    async fn refresh(&self, caller: &Caller, name: &str, begin: &str, urls: usize) -> Job {
        let urls: Vec<_> = (0..urls).map(|n| format!("http://{name}.com/{begin}{n}")).collect();
        let urls = JobUrls::parse(JobKind::Refresh, &urls.join("|")).unwrap();
        let mail = format!("{name}@example.com");
        self.fixture.pilothouse.jobs().add(caller, &mail, &urls).await.unwrap().remove(0)
    }

    /// URLs that a server that has just begun sends of what is due, in their order.
    async fn sent(&self) -> Vec<String> {
        self.runner.turn().await.unwrap();
        let calls = VendorCalls::new(self.fixture.pilothouse.clone());
        calls.turn().await.unwrap();
        calls.leave().await;
        let items = self.vendor.batches().into_iter().flat_map(|batch| batch.items);
        let mut urls: Vec<_> = items.map(|item| item.url).collect();
        urls.sort_unstable();
        urls
    }

    /// Reasons of the URLs of a job that wait.
    async fn reasons(&self, caller: &Caller, job: &Job) -> Vec<String> {
        let details = self.fixture.pilothouse.jobs().find(caller, &job.task_id).await.unwrap();
        let cells = details.edges.into_iter().flat_map(|edge| edge.cells);
        let cells = cells.inspect(|cell| assert_eq!(cell.state, CellState::Running(0)));
        cells.map(|cell| cell.reason).filter(|reason| !reason.is_empty()).collect()
    }
}

fn urls(name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("http://{name}.com/{n}")).collect()
}

#[tokio::test]
async fn a_customer_uses_no_more_than_its_share_and_others_pass() {
    let fixture = ShareFixture::new(30).await;
    let job = fixture.refresh(&fixture.ann, "ann", "", 5).await;
    fixture.refresh(&fixture.bob, "bob", "", 2).await;
    assert_eq!(fixture.sent().await, [urls("ann", 0..3), urls("bob", 0..2)].concat());
    let reason =
        "the customer's share of the quota of mainland, 3 of 10, is used up until 2016-09-13 13:44 UTC";
    assert_eq!(fixture.reasons(&fixture.ann, &job).await, [reason; 2]);

    // What was used is known to another server, and one URL is left for the other customer.
    fixture.clock.advance(TimeDelta::minutes(10));
    let late = fixture.refresh(&fixture.ann, "ann", "late-", 1).await;
    fixture.refresh(&fixture.bob, "bob", "late-", 2).await;
    assert_eq!(fixture.sent().await, ["http://bob.com/late-0"]);
    assert_eq!(fixture.reasons(&fixture.ann, &late).await, [reason]);
    let job_reason =
        fixture.fixture.pilothouse.jobs().find(&fixture.ann, &late.task_id).await.unwrap().job.reason;
    assert_eq!(job_reason, format!("qcloud: {reason}"));
}

#[tokio::test]
async fn a_share_begins_anew_with_its_quota() {
    let fixture = ShareFixture::new(30).await;
    let job = fixture.refresh(&fixture.ann, "ann", "", 5).await;
    assert_eq!(fixture.sent().await, urls("ann", 0..3));
    fixture.clock.advance(TimeDelta::hours(6));
    fixture.set_quota(fixture.resets_at + TimeDelta::days(1));
    assert_eq!(fixture.sent().await, urls("ann", 3..5));
    assert!(fixture.reasons(&fixture.ann, &job).await.is_empty());
    fixture.refresh(&fixture.ann, "ann", "late-", 2).await;
    assert_eq!(fixture.sent().await, ["http://ann.com/late-0"], "two of three were used before");
}

#[tokio::test]
async fn the_whole_share_limits_nobody_and_a_small_one_lets_one_pass() {
    let fixture = ShareFixture::new(100).await;
    fixture.refresh(&fixture.ann, "ann", "", 9).await;
    assert_eq!(fixture.sent().await, urls("ann", 0..9));
    let fixture = ShareFixture::new(1).await;
    fixture.refresh(&fixture.ann, "ann", "", 9).await;
    assert_eq!(fixture.sent().await, urls("ann", 0..1));
}
