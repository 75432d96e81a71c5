//! Refreshes and preloads as durable jobs: accepted, listed, and claimed by whoever works them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::ability::check_provider;
use super::job_list::{JobFilter, JobRequest};
use super::job_parts::JobParts;
use super::progress::{CellState, EdgeProgress, JobCell};
use super::target::{JobUrls, Target};
use crate::account::{AccountId, Caller, Entry, Group, digest};
use crate::id::id;
use crate::ports::{Purge, Repositories, StorageResult, Topic, UnitOfWork};
use crate::pruning::Pruning;
use crate::{Error, Lease, Page, Pilothouse, Prunable, Result, check_token};

/// Retention of ended jobs, and the batch size of pruning, which keeps write transactions short.
const KEPT: TimeDelta = TimeDelta::days(92);
const FORGOTTEN: i64 = 1000;

/// The longest wait of a job for its next attempt: 5 minutes.
pub const LONGEST_WAIT: Lease = Lease::of(TimeDelta::minutes(5));

id! {
    /// The id of a job in its store.
    JobId
}

/// Kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Purge them from every edge.
    Refresh,
    /// Have every edge fetch them.
    Preload,
}

impl JobKind {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Refresh => 0,
            Self::Preload => 1,
        }
    }

    /// Kind of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Refresh, Self::Preload].into_iter().find(|kind| kind.id() == id)
    }

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Preload => "preload",
        }
    }
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Work is left.
    Pending,
    /// Every edge confirmed every URL.
    Done,
    /// Nothing is left to try, and not everything was confirmed.
    Failed,
}

impl JobState {
    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Done => 1,
            Self::Failed => 2,
        }
    }

    /// State of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed].into_iter().find(|state| state.id() == id)
    }

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A refresh or preload of one batch of URLs on one cdn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Unique within the store; callers know a job by its task id.
    pub id: JobId,
    /// Task id that callers know it by: opaque, unique, never changes.
    pub task_id: String,
    /// Task id of the first job of its request, which may be its own.
    pub request: String,
    /// Refresh or preload.
    pub kind: JobKind,
    /// Account of the customer.
    pub account_id: AccountId,
    /// The name of the cdn.
    pub cdn: String,
    /// URLs, or tags as `tag://HOST/TAG`, none twice; none holds a bar.
    pub urls: Vec<String>,
    /// Time of its acceptance.
    pub created: DateTime<Utc>,
    /// Pending, done, or failed for good.
    pub state: JobState,
    /// Confirmed share in percent, rounded down; never falls, and is 100 only when everything is.
    pub percent: i64,
    /// Reason why it is not done, in one line; empty where there is nothing to say.
    pub reason: String,
    /// Time from which it may be claimed. While it is claimed, the end of the lease: after that its worker is taken for dead.
    pub due: DateTime<Utc>,
    /// Whether `due` is the end of a claim's lease; else the job waits for its next attempt.
    pub is_claimed: bool,
    /// Number of claims. A report that comes with an older number is refused.
    pub attempt: i64,
    /// Attempts in a row that got nothing confirmed: the next waits longer.
    pub failures: i64,
    /// Order of its purges: see [`crate::ports::Purge`]. 0 for a preload.
    pub stamp: i64,
}

/// Missed purges of one pending refresh on one edge: a cell per URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedPurges {
    /// Job that the cells belong to.
    pub job: Job,
    /// Progress on the edge, where any is written.
    pub progress: Option<EdgeProgress>,
}

impl MissedPurges {
    /// Purges that the edge has not confirmed.
    pub fn purges(&self) -> impl Iterator<Item = Purge> {
        let waits = |n: usize| {
            let state = self.progress.as_ref().map(|progress| progress.cells[n].state);
            state.is_none_or(|state| state == CellState::Pending)
        };
        let urls = self.job.urls.iter().enumerate().filter(move |(n, _)| waits(*n));
        urls.map(|(_, url)| Purge { url: url.clone(), stamp: self.job.stamp })
    }
}

/// Jobs in a store, and their progress: a row per job and edge, which live and die with the job.
#[async_trait]
pub trait JobRepository: Send {
    /// Adds a job, ignoring `id`.
    async fn insert(&mut self, job: &Job) -> StorageResult<JobId>;
    /// Finds one by its task id.
    async fn find(&mut self, task_id: &str) -> StorageResult<Option<Job>>;
    /// The newest jobs of an account, newest first.
    async fn list(&mut self, account_id: AccountId, kind: JobKind, count: i64) -> StorageResult<Vec<Job>>;
    /// The jobs of a request by id; none where no request is known by that task id.
    async fn parts(&mut self, request: &str) -> StorageResult<JobParts>;
    /// A page of the requests that pass a filter, by the ids of their first jobs.
    async fn requests(&mut self, filter: &JobFilter, page: Page) -> StorageResult<Vec<JobRequest>>;
    /// Counts the requests that pass a filter and whose first job has an id of at least `start` and less than `before`.
    async fn count(&mut self, filter: &JobFilter, start: i64, before: i64) -> StorageResult<u64>;
    /// The id of the `n`th job before an id, counted from the newest; `None` where there are fewer.
    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<JobId>>;
    /// Makes a job pending, unclaimed and due at `due`, with one more attempt and no failures, if it is still in this state
    /// and at this attempt; whether it was.
    async fn retry(&mut self, job: &Job) -> StorageResult<bool>;
    /// Takes at most `count` pending jobs that are due at `now`, the longest due first: each gets one more attempt, and
    /// is due again at `now` + `lease`. No two claims take the same attempt of a job. A clock that was ahead wrote what
    /// is claimed for longer than `lease`, and what waits for longer than [`LONGEST_WAIT`]: it is due.
    async fn claim(&mut self, now: DateTime<Utc>, lease: Lease, count: i64) -> StorageResult<Vec<Job>>;
    /// Writes state, percent, reason, due, whether it is claimed, and failures of a job that is still pending and still at this attempt; whether
    /// it was.
    async fn report(&mut self, job: &Job) -> StorageResult<bool>;
    /// The progress of a job, by edge.
    async fn progress(&mut self, job: &Job) -> StorageResult<Vec<EdgeProgress>>;
    /// Writes the progress of a job on one edge, in the place of what was written before. Only after a
    /// [`JobRepository::report`] that was accepted, in its transaction.
    async fn record(&mut self, id: JobId, progress: &EdgeProgress) -> StorageResult<()>;
    /// The first `count` pending refreshes of a cdn by id, and where each stands on one edge.
    async fn missed_purges(&mut self, cdn: &str, edge: &str, count: i64) -> StorageResult<Vec<MissedPurges>>;
    /// The least stamp of a cdn's pending refreshes.
    async fn least_stamp(&mut self, cdn: &str) -> StorageResult<Option<i64>>;
    /// Makes those of a cdn's pending jobs due at `now` that are due later and have a reason for it.
    async fn wake(&mut self, cdn: &str, now: DateTime<Utc>) -> StorageResult<()>;
    /// Forgets the first `count` jobs that were queued before that and of whose request every part has ended; how many there
    /// were.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}

/// A job with all its cells, edge by edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDetails {
    /// Job that the cells belong to.
    pub job: Job,
    /// Jobs of its request, itself among them.
    pub parts: JobParts,
    /// A row for every edge that it has to reach or has reached.
    pub edges: Vec<EdgeProgress>,
}

/// The use cases of refresh and preload.
#[derive(Clone, Copy, Debug)]
pub struct Jobs<'a>(pub(crate) &'a Pilothouse);

impl Jobs<'_> {
    /// Queues a refresh or preload of the customer's URLs: a job per cdn that serves them and batch of its provider.
    ///
    /// Refuses a customer whose `operations` are off, a URL whose host is not a domain of the customer, a `*` where the
    /// provider cannot purge by prefix, a tag where it cannot purge by tag, and, as unavailable, a cdn without a provider. Refused is refused: nothing is
    /// queued.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add(&self, caller: &Caller, login_email: &str, urls: &JobUrls) -> Result<Vec<Job>> {
        let JobUrls { kind, ref targets } = *urls;
        let mut work = self.0.write_as(caller).await?;
        let customer = self.0.customer_of(&mut *work, caller, Some(login_email)).await?;
        if !customer.operations {
            return Err(self.0.refuse(caller, "operations"));
        }
        let served = cdns_by_domain(&mut *work, customer.account_id).await?;
        let mut urls: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
        for target in targets {
            let cdns = served.get(&target.host);
            for cdn in cdns.ok_or_else(|| self.0.refuse(caller, "the domain of a URL"))? {
                urls.entry(cdn).or_default().push(target);
            }
        }
        let created = self.0.clock().now();
        let due = work.now().await?;
        let mut jobs: Vec<Job> = Vec::new();
        for (cdn, targets) in urls {
            let batch = check_provider(self.0.providers().get(cdn), cdn, kind, &targets)?;
            let stamp = match kind {
                JobKind::Refresh => {
                    let hosts: BTreeSet<_> = targets.iter().map(|target| target.host.clone()).collect();
                    let hosts: Vec<_> = hosts.into_iter().collect();
                    work.edges().stamp(cdn, &hosts, due.timestamp_micros()).await?
                }
                JobKind::Preload => 0,
            };
            for batch in targets.chunks(batch.max(1)) {
                let task_id = format!("{}-{}", kind.as_str(), self.0.ids().uuid().simple());
                jobs.push(Job {
                    id: JobId::UNSAVED,
                    request: jobs.first().map_or_else(|| task_id.clone(), |first| first.request.clone()),
                    task_id,
                    kind,
                    account_id: customer.account_id,
                    cdn: cdn.to_owned(),
                    urls: batch.iter().map(|target| target.url.clone()).collect(),
                    created,
                    state: JobState::Pending,
                    percent: 0,
                    reason: String::new(),
                    due,
                    is_claimed: false,
                    attempt: 0,
                    failures: 0,
                    stamp,
                });
            }
        }
        for job in &mut jobs {
            job.id = work.jobs().insert(job).await?;
            let entry = Entry::new(kind.action(), &*job.task_id).new_digest(job.digest());
            work.record(entry).await?;
        }
        work.commit().await?;
        self.0.storage().announce(&[Topic::Jobs]).await;
        Ok(jobs)
    }

    /// Forgets what has ended and was queued 92 days ago.
    pub(crate) async fn prune(&self, work: &mut dyn UnitOfWork, pruning: Pruning) -> Result<()> {
        let count = pruning.limit(work, Prunable::Jobs, FORGOTTEN).await?;
        let pruned = work.jobs().prune(pruning.now - KEPT, count).await?;
        Ok(pruning.spend(work, Prunable::Jobs, pruned).await?)
    }

    /// The newest 1000 jobs of a customer, newest first. Those that have ended are kept for 92 days.
    pub async fn list(&self, caller: &Caller, kind: JobKind, login_email: &str) -> Result<Vec<Job>> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, Some(login_email)).await?;
        Ok(snapshot.jobs().list(customer.account_id, kind, Page::MAX).await?)
    }

    /// One job, cell by cell, by a task id of 1 to 64 letters, digits and hyphens. Another's does not exist, except for a
    /// holder of group 8.
    pub async fn find(&self, caller: &Caller, task_id: &str) -> Result<JobDetails> {
        check_task_id("taskid", task_id)?;
        let mut snapshot = self.0.storage().read().await?;
        let found = snapshot.jobs().find(task_id).await?;
        let own = |job: &Job| job.account_id == caller.id || caller.holds(Group::Cdn);
        let job = found.filter(own).ok_or_else(|| Error::not_found("the task"))?;
        let parts = snapshot.jobs().parts(&job.request).await?;
        let mut edges = snapshot.jobs().progress(&job).await?;
        let named = self.0.providers().get(&job.cdn).map(|provider| &provider.capabilities().edges);
        for edge in named.into_iter().flatten() {
            if !edges.iter().any(|row| row.edge == *edge) && job.state != JobState::Done {
                edges.push(EdgeProgress::pending(edge, job.urls.len()));
            }
        }
        edges.sort_by(|one, other| one.edge.cmp(&other.edge));
        if job.state == JobState::Failed {
            give_up(&mut edges, &job);
        }
        Ok(JobDetails { job, parts, edges })
    }
}

/// Refuses what is no task id: anything but 1 to 64 letters, digits and hyphens.
pub(super) fn check_task_id(field: &'static str, task_id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    check_token(field, task_id, 1, 64, "letters, digits and hyphens", allowed)
}

impl JobKind {
    fn action(self) -> &'static str {
        match self {
            Self::Refresh => "cdn.refresh",
            Self::Preload => "cdn.preload",
        }
    }
}

impl Job {
    pub(super) fn digest(&self) -> String {
        digest(&[&self.cdn, &self.urls.join("|")])
    }

    /// Members of the event of its failure that webhooks are sent.
    pub(super) fn failed_data(&self) -> serde_json::Value {
        let Self { task_id, cdn, percent, reason, .. } = self;
        let (kind, urls) = (self.kind.as_str(), self.urls.len());
        serde_json::json!({
            "taskid": task_id, "kind": kind, "cdn": cdn, "urls": urls, "percent": percent, "reason": reason
        })
    }
}

/// The cdns that serve each domain of an account, by the domain's name.
pub(super) async fn cdns_by_domain(
    repositories: &mut dyn Repositories,
    account_id: AccountId,
) -> Result<BTreeMap<String, Vec<String>>> {
    let names: BTreeMap<_, _> =
        repositories.cdns().list().await?.into_iter().map(|cdn| (cdn.id, cdn.name)).collect();
    let mut cdns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for domain in repositories.domains().of_account(account_id, None).await? {
        cdns.entry(domain.name).or_default().extend(names.get(&domain.cdn_id).cloned());
    }
    Ok(cdns)
}

/// A job that ended as failed will not try its remaining cells, whatever their rows say.
fn give_up(edges: &mut [EdgeProgress], job: &Job) {
    for cell in edges.iter_mut().flat_map(|row| &mut row.cells) {
        if cell.state == CellState::Pending || cell.state.is_running() {
            *cell = JobCell { state: CellState::Failed, reason: job.reason.clone(), at: cell.at };
        }
    }
}
