//! Job repository over the state in memory: jobs with their progress.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{
    EdgeProgress, Job, JobFilter, JobId, JobKind, JobPart, JobParts, JobRepository, JobRequest, JobState,
    LONGEST_WAIT, MissedPurges,
};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Lease, Page};

use crate::cdn::CdnState;
use crate::state::Table;
use crate::storage::Transaction;

impl CdnState {
    /// Removes jobs and their progress.
    pub(crate) fn remove_jobs(&mut self, which: impl Fn(&Job) -> bool) {
        self.jobs.retain(|job| !which(job));
        let progress = self.progress.iter().filter(|((id, _), _)| self.jobs.get(*id).is_some());
        self.progress = progress.map(|(key, row)| (key.clone(), row.clone())).collect();
    }
}

fn waits(job: &Job, cdn: &str) -> bool {
    job.cdn == cdn && job.state == JobState::Pending
}

/// Whether a clock that was ahead wrote when it is due.
fn is_void(job: &Job, lease: Lease, now: DateTime<Utc>) -> bool {
    let longest = if job.is_claimed { lease } else { LONGEST_WAIT };
    longest.is_void(job.due, now)
}

/// Jobs of requests, by the task ids of their first jobs.
type Requests<'a> = HashMap<&'a str, Vec<&'a Job>>;

fn requests(jobs: &Table<JobId, Job>) -> Requests<'_> {
    let mut requests = Requests::new();
    for job in jobs.iter() {
        requests.entry(&job.request).or_default().push(job);
    }
    requests
}

fn parts(jobs: &[&Job]) -> JobParts {
    let part = |job: &&Job| JobPart {
        task_id: job.task_id.clone(),
        cdn: job.cdn.clone(),
        urls: i64::try_from(job.urls.len()).unwrap_or(i64::MAX),
        state: job.state,
        percent: job.percent,
        reason: job.reason.clone(),
    };
    JobParts(jobs.iter().map(part).collect())
}

/// Whether a job is the first of a request that passes a filter.
fn begins(job: &Job, requests: &Requests<'_>, filter: &JobFilter) -> bool {
    let Some(jobs) = requests.get(job.task_id.as_str()) else { return false };
    filter.state.is_none_or(|state| parts(jobs).state() == state)
        && jobs.iter().any(|job| filter.accepts(job))
}

#[async_trait]
impl JobRepository for Transaction {
    async fn insert(&mut self, job: &Job) -> StorageResult<JobId> {
        Ok(self.state_mut()?.cdn.jobs.insert(|id| Job { id, ..job.clone() }))
    }

    async fn find(&mut self, task_id: &str) -> StorageResult<Option<Job>> {
        Ok(self.state().cdn.jobs.iter().find(|job| job.task_id == task_id).cloned())
    }

    async fn list(&mut self, account_id: AccountId, kind: JobKind, count: i64) -> StorageResult<Vec<Job>> {
        let jobs = self.state().cdn.jobs.iter();
        let own: Vec<_> = jobs.filter(|job| job.account_id == account_id && job.kind == kind).collect();
        let count = usize::try_from(count).unwrap_or(0);
        Ok(own.into_iter().rev().take(count).cloned().collect())
    }

    async fn parts(&mut self, request: &str) -> StorageResult<JobParts> {
        let jobs = &self.state().cdn.jobs;
        Ok(parts(&jobs.iter().filter(|job| job.request == request).collect::<Vec<_>>()))
    }

    async fn requests(&mut self, filter: &JobFilter, page: Page) -> StorageResult<Vec<JobRequest>> {
        let jobs = &self.state().cdn.jobs;
        let accounts = &self.state().account.accounts;
        let requests = requests(jobs);
        let request = |Job { id, task_id, kind, account_id, created, .. }: Job| JobRequest {
            id,
            kind,
            mail: accounts.get(account_id).map(|account| account.mail.clone()).unwrap_or_default(),
            created,
            parts: parts(&requests[task_id.as_str()]),
            task_id,
        };
        let first = jobs.page(page, |job| begins(job, &requests, filter));
        Ok(first.into_iter().map(request).collect())
    }

    async fn count(&mut self, filter: &JobFilter, start: i64, before: i64) -> StorageResult<u64> {
        let jobs = &self.state().cdn.jobs;
        let requests = requests(jobs);
        Ok(jobs.count(start, before, |job| begins(job, &requests, filter)))
    }

    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<JobId>> {
        Ok(self.state().cdn.jobs.nth_before(before, n))
    }

    async fn retry(&mut self, job: &Job) -> StorageResult<bool> {
        match self.state_mut()?.cdn.jobs.get_mut(job.id) {
            Some(held) if held.state == job.state && held.attempt == job.attempt => {
                held.state = JobState::Pending;
                held.attempt += 1;
                held.due = job.due;
                held.is_claimed = false;
                held.failures = 0;
                held.reason.clear();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn claim(&mut self, now: DateTime<Utc>, lease: Lease, count: i64) -> StorageResult<Vec<Job>> {
        let jobs = &mut self.state_mut()?.cdn.jobs;
        let pending = |job: &&Job| job.state == JobState::Pending;
        let void = jobs.iter().filter(|job| pending(job) && is_void(job, lease, now));
        for id in void.map(|job| job.id).collect::<Vec<_>>() {
            if let Some(job) = jobs.get_mut(id) {
                job.due = now;
            }
        }
        let due = jobs.iter().filter(|job| pending(job) && job.due <= now);
        let mut due: Vec<_> = due.map(|job| (job.due, job.id)).collect();
        due.sort_unstable();
        due.truncate(usize::try_from(count).unwrap_or(0));
        due.sort_unstable_by_key(|(_, id)| *id);
        let mut claimed = Vec::new();
        for (_, id) in due {
            if let Some(job) = jobs.get_mut(id) {
                job.attempt += 1;
                job.due = lease.end(now);
                job.is_claimed = true;
                claimed.push(job.clone());
            }
        }
        Ok(claimed)
    }

    async fn report(&mut self, job: &Job) -> StorageResult<bool> {
        match self.state_mut()?.cdn.jobs.get_mut(job.id) {
            Some(held) if held.state == JobState::Pending && held.attempt == job.attempt => {
                let Job { state, percent, ref reason, due, is_claimed, failures, .. } = *job;
                *held =
                    Job { state, percent, reason: reason.clone(), due, is_claimed, failures, ..held.clone() };
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn progress(&mut self, job: &Job) -> StorageResult<Vec<EdgeProgress>> {
        let rows =
            self.state().cdn.progress.range((job.id, String::new())..(JobId(job.id.0 + 1), String::new()));
        Ok(rows.map(|(_, progress)| progress.clone()).collect())
    }

    async fn missed_purges(&mut self, cdn: &str, edge: &str, count: i64) -> StorageResult<Vec<MissedPurges>> {
        let state = &self.state().cdn;
        let waiting = state.jobs.iter().filter(|job| waits(job, cdn) && job.kind == JobKind::Refresh);
        let owed = waiting.take(usize::try_from(count).unwrap_or(0)).map(|job| MissedPurges {
            job: job.clone(),
            progress: state.progress.get(&(job.id, edge.to_owned())).cloned(),
        });
        Ok(owed.collect())
    }

    async fn least_stamp(&mut self, cdn: &str) -> StorageResult<Option<i64>> {
        let jobs = self.state().cdn.jobs.iter();
        let waiting = jobs.filter(|job| waits(job, cdn) && job.kind == JobKind::Refresh);
        Ok(waiting.map(|job| job.stamp).min())
    }

    async fn wake(&mut self, cdn: &str, now: DateTime<Utc>) -> StorageResult<()> {
        let jobs = &mut self.state_mut()?.cdn.jobs;
        let asleep = jobs.iter().filter(|job| waits(job, cdn) && job.due > now && !job.reason.is_empty());
        for id in asleep.map(|job| job.id).collect::<Vec<_>>() {
            if let Some(job) = jobs.get_mut(id) {
                job.due = now;
            }
        }
        Ok(())
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let cdn = &mut self.state_mut()?.cdn;
        let pending = cdn.jobs.iter().filter(|job| job.state == JobState::Pending);
        let pending: HashSet<_> = pending.map(|job| job.request.as_str()).collect();
        let old = cdn.jobs.iter().filter(|job| job.created < before);
        let ended = old.filter(|job| !pending.contains(job.request.as_str())).map(|job| job.id);
        let ended: Vec<_> = ended.take(usize::try_from(count).unwrap_or(0)).collect();
        if !ended.is_empty() {
            cdn.remove_jobs(|job| ended.contains(&job.id));
        }
        Ok(ended.len() as u64)
    }

    async fn record(&mut self, id: JobId, progress: &EdgeProgress) -> StorageResult<()> {
        self.state_mut()?.cdn.progress.insert((id, progress.edge.clone()), progress.clone());
        Ok(())
    }
}
