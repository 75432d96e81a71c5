//! Refresh and preload jobs, and their progress on edges.

use chrono::TimeDelta;
use pilothouse_conformance::Rng;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{EdgeProgress, Job, JobCell, JobFilter, JobId, JobKind, JobRequest, JobState};
use pilothouse_core::ports::Repositories;
use pilothouse_core::{Lease, Order, Page};

use super::customers::cdn_name;
use super::draws::Draws;
use super::issued_ids::{IssuedIds, any_id, index_of, record_id};

pub(super) fn comparable_job(job: Job, issued: &IssuedIds) -> Job {
    let account_id = index_of(&issued.accounts, job.account_id);
    Job { id: index_of(&issued.jobs, job.id), account_id, ..job }
}

fn kind(random: &mut Rng) -> JobKind {
    random.pick(&[JobKind::Refresh, JobKind::Preload])
}

fn some_job(issued: &IssuedIds, random: &mut Rng) -> String {
    issued.job_names.get(random.usize(..=issued.job_names.len())).cloned().unwrap_or_default()
}

pub(super) async fn read_list(
    store: &mut dyn Repositories,
    issued: &IssuedIds,
    random: &mut Rng,
    account: AccountId,
) -> String {
    let account_index = index_of(&issued.accounts, account);
    let (kind, count) = (kind(random), random.i64(0..5));
    let found = store.jobs().list(account, kind, count).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|job| comparable_job(job, issued)).collect();
    format!("{count} {kind:?} of {account_index}: {found:?}")
}

pub(super) async fn read_requests(
    store: &mut dyn Repositories,
    issued: &IssuedIds,
    random: &mut Rng,
) -> String {
    let states = [None, Some(JobState::Pending), Some(JobState::Done), Some(JobState::Failed)];
    let (account_id, word) = (any_id(&issued.accounts, random), random.word());
    let filter = JobFilter {
        account_id: random.perhaps(account_id),
        state: random.pick(&states),
        domain: random.perhaps("a.test".to_owned()),
        text: random.perhaps(word.to_owned()),
    };
    let page = Page { order: random.pick(&[Order::Oldest, Order::Newest]), ..Page::at(0, random.i64(1..5)) };
    let found = store.jobs().requests(&filter, page).await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|request| JobRequest { id: index_of(&issued.jobs, request.id), ..request })
        .collect();
    let count = store.jobs().count(&filter, 0, i64::MAX).await.unwrap();
    let account_index = filter.account_id.map(|id| index_of(&issued.accounts, id));
    format!("{page:?} of {account_index:?} {:?}: {count}, {found:?}", filter.state)
}

pub(super) async fn read_progress(
    store: &mut dyn Repositories,
    issued: &IssuedIds,
    random: &mut Rng,
) -> String {
    let name = some_job(issued, random);
    let Some(job) = store.jobs().find(&name).await.unwrap() else { return format!("no job {name}") };
    let progress = store.jobs().progress(&job).await.unwrap();
    format!("{:?}: {progress:?}", comparable_job(job, issued))
}

pub(super) async fn write(store: &mut dyn Repositories, issued: &mut IssuedIds, random: &mut Rng) -> String {
    match random.usize(..5) {
        0 | 1 => {
            let account_id = any_id(&issued.accounts, random);
            let task_id = format!("job-{:x}", random.u64(..));
            let first = some_job(issued, random);
            let first = random.perhaps(first).unwrap_or_default();
            let request = match store.jobs().find(&first).await.unwrap() {
                Some(first) if first.account_id == account_id => first.request,
                _ => task_id.clone(),
            };
            let job = Job {
                id: JobId(7),
                request,
                task_id,
                kind: kind(random),
                account_id,
                cdn: cdn_name(random).to_owned(),
                urls: vec![format!("http://a.test/{}", random.word()), "http://a.test/".to_owned()],
                created: random.moment(),
                state: JobState::Pending,
                percent: 0,
                reason: random.word().to_owned(),
                due: random.moment(),
                is_claimed: random.chance(30),
                attempt: 0,
                failures: random.i64(0..3),
                stamp: random.i64(0..100),
            };
            if store.accounts().by_id(account_id).await.unwrap().is_none() {
                return "nobody's job".into();
            }
            let id = store.jobs().insert(&job).await.unwrap();
            issued.job_names.push(job.task_id.clone());
            format!("add job {}: {}", job.task_id, record_id(&mut issued.jobs, id))
        }
        2 => {
            let (now, count) = (random.moment(), random.i64(0..4));
            let claimed = store
                .jobs()
                .claim(
                    now,
                    Lease::of(
                        TimeDelta::microseconds(3)
                            - random.perhaps(TimeDelta::seconds(1)).unwrap_or_default(),
                    ),
                    count,
                )
                .await
                .unwrap();
            let claimed: Vec<_> = claimed.into_iter().map(|job| comparable_job(job, issued)).collect();
            format!("claim {count} at {now}: {claimed:?}")
        }
        _ => {
            let (name, stale) = (some_job(issued, random), i64::from(random.chance(25)));
            let state =
                random.pick(&[JobState::Pending, JobState::Pending, JobState::Done, JobState::Failed]);
            let (percent, reason, due, failures) =
                (random.i64(0..101), random.word(), random.moment(), random.i64(0..3));
            let edge = random.pick(&["edge-1", "edge-2", "Edge-1", "边缘"]);
            let at = random.moment();
            let Some(stored) = store.jobs().find(&name).await.unwrap() else {
                return format!("no job {name}");
            };
            let attempt = stored.attempt - stale;
            let job = Job { state, percent, reason: reason.to_owned(), due, failures, attempt, ..stored };
            let done = store.jobs().report(&job).await.unwrap();
            if done {
                let cells = vec![JobCell::failed(reason, at), JobCell::after(Ok(()), at)];
                store.jobs().record(job.id, &EdgeProgress { edge: edge.to_owned(), cells }).await.unwrap();
            }
            format!("report {:?} on {edge}: {done}", comparable_job(job, issued))
        }
    }
}
