//! Vendor calls against a scripted vendor: batches, lost answers, limits, quotas and restarts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::{ManualClock, ScriptedVendor, VendorReply};
use pilothouse_core::ErrorKind;
use pilothouse_core::account::Caller;
use pilothouse_core::cdn::{CellState, Job, JobDetails, JobKind, JobRunner, JobState, JobUrls, VendorCalls};
use pilothouse_core::ports::{
    CallLimits, Clock, ItemState, Operation, Prefix, ProviderError, Quota, Repeat, Submission,
};
use pilothouse_storage_memory::MemoryStorage;

const DOMAINS: [&str; 2] = ["cdn.exrqs.com", "img.exrqs.com"];

/// Two customers with domains on `qcloud`, which is a vendor.
pub(super) struct VendorFixture {
    pub(super) fixture: Fixture,
    pub(super) clock: Arc<ManualClock>,
    pub(super) vendor: Arc<ScriptedVendor>,
    user: Caller,
    pub(super) runner: JobRunner,
    pub(super) calls: VendorCalls,
}

impl VendorFixture {
    pub(super) async fn new() -> Self {
        Self::with(ScriptedVendor::new("qcloud")).await
    }

    pub(super) async fn with(vendor: ScriptedVendor) -> Self {
        let clock = Arc::new(ManualClock::at(1_473_752_647));
        let vendor = Arc::new(vendor);
        let fixture = Fixture::builder(Arc::new(MemoryStorage::with_clock(clock.clone()).strict()))
            .clock(clock.clone())
            .provider("qcloud", vendor.clone())
            .build();
        fixture.cdn("qcloud").await;
        let user = fixture.customer("user", "qcloud", &DOMAINS).await;
        let runner = JobRunner::new(fixture.pilothouse.clone());
        let calls = VendorCalls::new(fixture.pilothouse.clone());
        Self { fixture, clock, vendor, user, runner, calls }
    }

    /// Queues a job of `urls` URLs that begin with this.
    pub(super) async fn add(&self, kind: JobKind, begin: &str, urls: usize) -> Job {
        let urls: Vec<_> = (0..urls).map(|n| format!("http://cdn.exrqs.com/{begin}{n}")).collect();
        self.add_urls(kind, &urls).await
    }

    async fn add_urls(&self, kind: JobKind, urls: &[String]) -> Job {
        let urls = JobUrls::parse(kind, &urls.join("|")).unwrap();
        let jobs = self.fixture.pilothouse.jobs().add(&self.user, "user@example.com", &urls).await.unwrap();
        <[Job; 1]>::try_from(jobs).unwrap()[0].clone()
    }

    /// Does everything that is due.
    pub(super) async fn turn(&self) {
        self.runner.turn().await.unwrap();
        self.calls.turn().await.unwrap();
    }

    /// Does everything that falls due within a time, second by second.
    pub(super) async fn pass(&self, time: TimeDelta) {
        for _ in 0..time.num_seconds() {
            self.clock.advance(TimeDelta::seconds(1));
            self.turn().await;
        }
    }

    pub(super) async fn details(&self, job: &Job) -> JobDetails {
        self.fixture.pilothouse.jobs().find(&self.user, &job.task_id).await.unwrap()
    }

    pub(super) async fn job(&self, job: &Job) -> Job {
        self.details(job).await.job
    }

    /// Number of URLs of each batch that was sent since this was last asked.
    pub(super) fn sent(&self) -> Vec<usize> {
        self.vendor.batches().iter().map(|batch| batch.items.len()).collect()
    }
}

pub(super) fn quota(operation: Operation, left: i64, resets_at: DateTime<Utc>) -> Quota {
    Quota { operation, pool: "mainland".into(), groups: Vec::new(), total: 100, left, resets_at }
}

#[tokio::test]
async fn a_refresh_by_tag_is_one_operation_of_its_own() {
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| {
        can.purge_tags = true;
        can.limits.insert(Operation::PurgeTags, CallLimits::items(2));
    });
    let fixture = VendorFixture::with(vendor).await;
    let tags = ["news".to_owned(), "page/1*".to_owned(), "blog".to_owned()];
    let tags = JobUrls::tags("cdn.exrqs.com", &tags).unwrap();
    let jobs = fixture.fixture.pilothouse.jobs().add(&fixture.user, "user@example.com", &tags).await.unwrap();
    fixture.turn().await;
    let batches = fixture.vendor.batches();
    assert!(batches.iter().all(|batch| batch.operation == Operation::PurgeTags));
    let items =
        batches.iter().map(|batch| batch.items.iter().map(|item| item.url.as_str()).collect::<Vec<_>>());
    let items: Vec<_> = items.collect();
    let expected =
        [vec!["tag://cdn.exrqs.com/news", "tag://cdn.exrqs.com/page/1*"], vec!["tag://cdn.exrqs.com/blog"]];
    assert_eq!(items, expected);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    assert_eq!(fixture.job(&jobs[0]).await.state, JobState::Done);

    // Tags of a domain that the customer gave up meanwhile are not purged.
    let more = JobUrls::tags("img.exrqs.com", &["news".to_owned()]).unwrap();
    let jobs = fixture.fixture.pilothouse.jobs().add(&fixture.user, "user@example.com", &more).await.unwrap();
    let mut work = fixture.fixture.storage.begin().await.unwrap();
    let held = work.domains().of_account(fixture.user.id, None).await.unwrap();
    let given_up = held.iter().find(|domain| domain.name == "img.exrqs.com").unwrap().id;
    work.domains().release(&[given_up]).await.unwrap();
    work.commit().await.unwrap();
    fixture.turn().await;
    let failed = fixture.job(&jobs[0]).await;
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.reason, "the domain is no longer the account's");
    assert!(fixture.vendor.batches().is_empty());
}

#[tokio::test]
async fn a_refresh_by_tag_is_refused_where_the_vendor_cannot() {
    let fixture = VendorFixture::new().await;
    let tags = JobUrls::tags("cdn.exrqs.com", &["news".to_owned()]).unwrap();
    let jobs = fixture.fixture.pilothouse.jobs();
    let refused = jobs.add(&fixture.user, "user@example.com", &tags).await.unwrap_err();
    let reason = "tags: qcloud cannot purge by tag: it purges URLs and directories only";
    assert_eq!(refused.to_string(), reason);
    let foreign = JobUrls::tags("other.com", &["news".to_owned()]).unwrap();
    let refused = jobs.add(&fixture.user, "user@example.com", &foreign).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let listed = jobs.list(&fixture.user, JobKind::Refresh, "user@example.com").await.unwrap();
    assert!(listed.is_empty(), "nothing is queued");
}

#[tokio::test]
async fn a_job_runs_until_its_tasks_have_ended() {
    let fixture = VendorFixture::new().await;
    let job = fixture.add(JobKind::Refresh, "", 3).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [3]);
    let running = fixture.details(&job).await;
    assert_eq!((running.job.state, running.job.percent), (JobState::Pending, 0));
    assert_eq!(running.edges[0].edge, "qcloud");
    assert!(running.edges[0].cells.iter().all(|cell| cell.state == CellState::Running(0)));
    fixture.vendor.set_state("http://cdn.exrqs.com/0", ItemState::Done);
    fixture.vendor.set_state("http://cdn.exrqs.com/1", ItemState::Running(Some(50)));
    fixture.pass(TimeDelta::seconds(5)).await;
    let running = fixture.details(&job).await;
    assert_eq!((running.job.state, running.job.percent), (JobState::Pending, 50));
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    let done = fixture.job(&job).await;
    assert_eq!((done.state, done.percent, done.reason.as_str()), (JobState::Done, 100, ""));
    let (polls, looks) = fixture.vendor.polls_and_looks();
    assert_eq!((polls, looks), (6, 0), "every second, until it has ended");
    fixture.pass(TimeDelta::minutes(6)).await;
    assert_eq!((fixture.sent(), fixture.vendor.polls_and_looks()), (vec![], (6, 0)), "nothing is left to do");
}

#[tokio::test]
async fn jobs_are_put_together_and_cut_by_operation_and_limit() {
    let fixture = VendorFixture::new().await;
    let one = fixture.add(JobKind::Refresh, "a", 70).await;
    let other = fixture.add(JobKind::Refresh, "a", 130).await;
    let prefix = fixture.add_urls(JobKind::Refresh, &["http://cdn.exrqs.com/i/*".into()]).await;
    let preload = fixture.add(JobKind::Preload, "a", 1).await;
    fixture.turn().await;
    let batches = fixture.vendor.batches();
    let mut sizes: Vec<_> = batches.iter().map(|batch| (batch.operation, batch.items.len())).collect();
    sizes.sort_unstable();
    let expected = [
        (Operation::PurgeUrls, 30),
        (Operation::PurgeUrls, 100),
        (Operation::PurgePrefixes, 1),
        (Operation::Preload, 1),
    ];
    assert_eq!(sizes, expected, "70 of the URLs are in both jobs");
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    for job in [one, other, prefix, preload] {
        assert_eq!(fixture.job(&job).await.state, JobState::Done);
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_before_anything_is_sent_again() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::LosesAnswer);
    let job = fixture.add(JobKind::Refresh, "", 3).await;
    fixture.turn().await;
    assert_eq!(fixture.job(&job).await.reason, "qcloud: connection lost");
    fixture.pass(TimeDelta::seconds(30)).await;
    assert_eq!((fixture.sent(), fixture.vendor.tasks_of("http://cdn.exrqs.com/0")), (vec![3], 1));
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(60)).await;
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
    assert_eq!(fixture.vendor.polls_and_looks().1, 1);
}

#[tokio::test]
async fn a_lost_request_is_sent_again_once_it_was_not_found() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::LosesRequest);
    fixture.add(JobKind::Refresh, "", 3).await;
    fixture.turn().await;
    fixture.pass(TimeDelta::seconds(9)).await;
    assert_eq!(fixture.sent(), [3], "the vendor's list needs a moment");
    fixture.pass(TimeDelta::seconds(2)).await;
    assert_eq!((fixture.sent(), fixture.vendor.tasks_of("http://cdn.exrqs.com/0")), (vec![3], 1));
}

#[tokio::test]
async fn a_key_or_no_cost_is_repeated_with_the_same_bytes() {
    for repeat in [Repeat::Keyed, Repeat::Free] {
        let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.repeat = repeat);
        let fixture = VendorFixture::with(vendor).await;
        fixture.vendor.next(VendorReply::LosesAnswer);
        fixture.add(JobKind::Refresh, "", 3).await;
        fixture.turn().await;
        fixture.pass(TimeDelta::seconds(3)).await;
        let batches = fixture.vendor.batches();
        assert_eq!(batches.len(), 2, "{repeat:?}");
        assert_eq!(batches[0], batches[1], "{repeat:?}");
        assert_eq!(fixture.vendor.polls_and_looks().1, 0, "{repeat:?}");
    }
}

/// A server that dies between the note that it sends and the answer leaves the same case as a lost answer.
#[tokio::test(start_paused = true)]
async fn a_server_that_dies_in_a_call_sends_nothing_twice() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Hangs);
    let job = fixture.add(JobKind::Refresh, "", 3).await;
    fixture.runner.turn().await.unwrap();
    let dead = tokio::time::timeout(Duration::from_millis(200), fixture.calls.turn()).await;
    assert!(dead.is_err(), "the call hangs");
    let other = VendorCalls::new(fixture.fixture.another_server());
    assert_eq!(other.turn().await.unwrap(), 0, "the dead one leads until its lease ends");
    fixture.clock.advance(TimeDelta::seconds(6));
    other.turn().await.unwrap();
    assert_eq!(fixture.vendor.polls_and_looks().1, 0, "the vendor's list needs a moment");
    fixture.clock.advance(TimeDelta::seconds(6));
    other.turn().await.unwrap();
    assert_eq!((fixture.sent(), fixture.vendor.polls_and_looks().1), (vec![3], 1));
    fixture.vendor.set_all(&ItemState::Done);
    fixture.clock.advance(TimeDelta::seconds(60));
    other.turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
    assert_eq!(fixture.vendor.tasks_of("http://cdn.exrqs.com/0"), 1);
}

#[tokio::test]
async fn one_server_speaks_at_a_time() {
    let fixture = VendorFixture::new().await;
    let other = VendorCalls::new(fixture.fixture.another_server());
    assert_eq!(fixture.calls.turn().await.unwrap(), 0);
    fixture.add(JobKind::Refresh, "", 3).await;
    fixture.runner.turn().await.unwrap();
    assert_eq!(other.turn().await.unwrap(), 0);
    assert!(fixture.sent().is_empty());
    fixture.calls.leave().await;
    assert_eq!(other.turn().await.unwrap(), 1, "leadership was given up");
    assert_eq!(fixture.sent(), [3]);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for_and_shown() {
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.quota = true);
    let fixture = VendorFixture::with(vendor).await;
    let midnight = fixture.clock.now() + TimeDelta::hours(2);
    fixture.vendor.set_quotas(vec![quota(Operation::PurgeUrls, 40, midnight)]);
    let job = fixture.add(JobKind::Refresh, "", 60).await;
    let preload = fixture.add(JobKind::Preload, "", 1).await;
    fixture.turn().await;
    let mut sent = fixture.sent();
    sent.sort_unstable();
    assert_eq!(sent, [1, 40], "what the quota allows, and what does not spend it");
    fixture.vendor.set_quotas(vec![quota(Operation::PurgeUrls, 0, midnight)]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(30)).await;
    let waiting = fixture.job(&job).await;
    let reason = "qcloud: the quota of mainland is used up until 2016-09-13 09:44 UTC";
    assert_eq!((waiting.state, waiting.percent, waiting.reason.as_str()), (JobState::Pending, 66, reason));
    assert_eq!(fixture.job(&preload).await.state, JobState::Done);
    fixture.clock.advance(TimeDelta::minutes(100));
    fixture.turn().await;
    assert!(fixture.sent().is_empty(), "not before the quota begins anew");
    fixture.vendor.set_quotas(vec![quota(Operation::PurgeUrls, 100, midnight + TimeDelta::days(1))]);
    fixture.clock.advance(TimeDelta::minutes(21));
    fixture.turn().await;
    assert_eq!(fixture.sent(), [20]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test]
async fn refused_credentials_stop_the_vendor_and_fail_no_job() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Fails(ProviderError::Credentials("the key was revoked".into())));
    let job = fixture.add(JobKind::Refresh, "", 150).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [100], "no other batch is tried");
    let waiting = fixture.job(&job).await;
    assert_eq!(waiting.state, JobState::Pending);
    assert_eq!(waiting.reason, "qcloud: the credentials are not accepted: the key was revoked");
    fixture.pass(TimeDelta::seconds(290)).await;
    assert!(fixture.sent().is_empty());
    fixture.pass(TimeDelta::seconds(20)).await;
    let mut sent = fixture.sent();
    sent.sort_unstable();
    assert_eq!(sent, [50, 100]);
}

#[tokio::test]
async fn one_bad_url_is_found_by_halving() {
    let fixture = VendorFixture::new().await;
    let foreign = ProviderError::NotYours("the domain is another's".into());
    fixture.vendor.set_bad("http://cdn.exrqs.com/2", foreign);
    let job = fixture.add(JobKind::Refresh, "", 4).await;
    fixture.turn().await;
    assert_eq!(fixture.sent().len(), 5, "all 4, both halves, and both quarters of one");
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    let ended = fixture.details(&job).await;
    let failed = ended.edges[0].count(CellState::Failed);
    assert_eq!((ended.job.state, failed, ended.edges[0].count(CellState::Acked)), (JobState::Failed, 1, 3));
    assert_eq!(ended.job.reason, "qcloud: the domain is another's");
}

#[tokio::test]
async fn too_large_a_batch_is_halved_and_the_next_is_smaller() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Fails(ProviderError::TooBig("at most 50".into())));
    fixture.add(JobKind::Refresh, "a", 100).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [100, 50, 50]);
    fixture.add(JobKind::Refresh, "b", 100).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [50, 50]);
}

#[tokio::test]
async fn a_failure_is_tried_three_times_and_a_refusal_once() {
    let fixture = VendorFixture::new().await;
    let job = fixture.add(JobKind::Preload, "", 3).await;
    fixture.vendor.set_state("http://cdn.exrqs.com/0", ItemState::Failed("the origin did not answer".into()));
    fixture.vendor.set_state("http://cdn.exrqs.com/1", ItemState::Refused("the origin said 404".into()));
    fixture.vendor.set_state("http://cdn.exrqs.com/2", ItemState::Done);
    fixture.turn().await;
    fixture.pass(TimeDelta::minutes(2)).await;
    assert_eq!(fixture.sent(), [3, 1, 1]);
    let ended = fixture.details(&job).await;
    let states: Vec<_> = ended.edges[0].cells.iter().map(|cell| (cell.state, cell.reason.as_str())).collect();
    let expected = [
        (CellState::Failed, "the origin did not answer"),
        (CellState::Failed, "the origin said 404"),
        (CellState::Acked, ""),
    ];
    assert_eq!((ended.job.state, states), (JobState::Failed, expected.to_vec()));
}

#[tokio::test]
async fn an_operator_tries_again_what_failed() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.next(VendorReply::Each(vec![
        Ok(Submission::Done),
        Err(ProviderError::Refused("not cacheable".into())),
    ]));
    let job = fixture.add(JobKind::Refresh, "", 2).await;
    fixture.turn().await;
    assert_eq!(fixture.job(&job).await.state, JobState::Failed);
    let groups = [pilothouse_core::account::Group::Cdn].into_iter().collect();
    let operator = fixture.fixture.account("operator", groups).await;
    assert_eq!(fixture.fixture.pilothouse.jobs().retry(&operator, &job.task_id).await.unwrap(), 1);
    fixture.vendor.batches();
    fixture.turn().await;
    let batches = fixture.vendor.batches();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].items[0].url, "http://cdn.exrqs.com/1");
}

#[tokio::test]
async fn a_task_without_a_word_fails_after_a_day() {
    let fixture = VendorFixture::new().await;
    let job = fixture.add(JobKind::Refresh, "", 1).await;
    fixture.turn().await;
    for _ in 0..24 {
        assert_eq!(fixture.job(&job).await.state, JobState::Pending);
        fixture.clock.advance(TimeDelta::minutes(60));
        fixture.turn().await;
    }
    let failed = fixture.job(&job).await;
    let reason = "qcloud: the vendor did not say what became of it";
    assert_eq!((failed.state, failed.reason.as_str()), (JobState::Failed, reason));
    assert_eq!(fixture.sent(), [1]);
}

#[tokio::test]
async fn hosts_of_different_groups_are_not_mixed_and_strangers_fail() {
    let fixture = VendorFixture::new().await;
    fixture.vendor.set_group("cdn.exrqs.com", "zone-1");
    let stranger = ProviderError::NotYours("the domain is in no zone".into());
    fixture.vendor.set_stranger("img.exrqs.com", stranger);
    let urls = ["http://cdn.exrqs.com/1", "http://img.exrqs.com/2"].map(str::to_owned);
    let job = fixture.add_urls(JobKind::Refresh, &urls).await;
    fixture.turn().await;
    let batches = fixture.vendor.batches();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].group.as_str(), batches[0].items.len()), ("zone-1", 1));
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(10)).await;
    let ended = fixture.details(&job).await;
    let states: Vec<_> = ended.edges[0].cells.iter().map(|cell| cell.state).collect();
    assert_eq!(states, [CellState::Acked, CellState::Failed]);
    assert_eq!(ended.job.reason, "qcloud: the domain is in no zone");
}

#[tokio::test]
async fn what_a_vendor_never_can_is_said_at_once() {
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| can.preload = false);
    let fixture = VendorFixture::with(vendor).await;
    let job = fixture.add(JobKind::Preload, "", 1).await;
    fixture.turn().await;
    let failed = fixture.job(&job).await;
    assert_eq!((failed.state, failed.reason.as_str()), (JobState::Failed, "qcloud cannot preload"));
    let urls = JobUrls::parse(JobKind::Refresh, "http://cdn.exrqs.com/img-*").unwrap();
    let jobs = fixture.fixture.pilothouse.jobs();
    let refused = jobs.add(&fixture.user, "user@example.com", &urls).await.unwrap_err();
    assert!(refused.to_string().contains("qcloud purges directories only"), "{refused}");
    assert_eq!(Prefix::Directory.check("http://cdn.exrqs.com/img/*"), Ok(()));
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_vendor_takes() {
    let limits = CallLimits::items(100).with_in_flight(Some(30));
    let vendor = ScriptedVendor::new("qcloud").with_capabilities(|can| {
        can.limits.insert(Operation::PurgeUrls, limits);
    });
    let fixture = VendorFixture::with(vendor).await;
    let job = fixture.add(JobKind::Refresh, "", 50).await;
    fixture.turn().await;
    assert_eq!(fixture.sent(), [30]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(5)).await;
    assert_eq!(fixture.sent(), [20]);
    fixture.vendor.set_all(&ItemState::Done);
    fixture.pass(TimeDelta::seconds(5)).await;
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}
