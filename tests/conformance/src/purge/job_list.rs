//! Lists of requests, and their parts.

use std::sync::Arc;

use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Job, JobFilter, JobId, JobKind, JobPart, JobParts, JobRequest, JobState};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Order, Page};

use super::job::job;
use crate::rows::{AWKWARD, add_account, moment};

const NEWEST: Page = Page { order: Order::Newest, ..Page::at(0, Page::MAX) };

async fn add(storage: &Arc<dyn Storage>, job: &Job) -> JobId {
    let mut work = storage.begin().await.unwrap();
    let id = work.jobs().insert(job).await.unwrap();
    work.commit().await.unwrap();
    id
}

/// Job of a customer in a state, with these URLs.
fn listed(account_id: AccountId, n: i64, urls: &[&str], state: JobState) -> Job {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    Job { urls, state, reason: AWKWARD.into(), percent: n, ..job(account_id, n) }
}

fn part(job: &Job) -> JobPart {
    let Job { task_id, cdn, urls, state, percent, reason, .. } = job.clone();
    JobPart { task_id, cdn, urls: i64::try_from(urls.len()).unwrap(), state, percent, reason }
}

async fn check(storage: &Arc<dyn Storage>, cases: &[(JobFilter, &[JobId])]) {
    let mut snapshot = storage.read().await.unwrap();
    for (filter, expected) in cases {
        let rows = snapshot.jobs().requests(filter, NEWEST).await.unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids, *expected, "{filter:?}");
        let count = snapshot.jobs().count(filter, 0, i64::MAX).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    }
}

fn of_state(state: JobState) -> JobFilter {
    JobFilter { state: Some(state), ..JobFilter::default() }
}

fn of_domain(domain: &str) -> JobFilter {
    JobFilter { domain: Some(domain.into()), ..JobFilter::default() }
}

fn of_text(text: &str) -> JobFilter {
    JobFilter { text: Some(text.into()), ..JobFilter::default() }
}

/// Requests of all customers are listed without their URLs, by customer, state, host and text, page by page.
pub(crate) async fn requests_pass_a_filter(storage: Arc<dyn Storage>) {
    let (ann, bob) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let urls: [&[&str]; 5] = [
        &["http://a.com/1", "HTTPS://B.com:443/%7C"],
        &["http://a.com.cn/", "http://b.com/?u=http://a.com/"],
        &["http://A.com./更新_%"],
        &["tag://b.com/x=1", "http://a.com"],
        &["http://c.a.com/"],
    ];
    let states = [JobState::Pending, JobState::Done, JobState::Failed, JobState::Failed, JobState::Pending];
    let mut jobs = Vec::new();
    for (n, urls) in (0..).zip(urls) {
        let owner = if n == 3 { bob } else { ann };
        jobs.push(add(&storage, &listed(owner, n, urls, states[jobs.len()])).await);
    }
    let all = JobFilter::default();
    let mut snapshot = storage.read().await.unwrap();
    let rows = snapshot.jobs().requests(&all, NEWEST).await.unwrap();
    let shown = JobRequest {
        id: jobs[3],
        task_id: "refresh-3".into(),
        kind: JobKind::Preload,
        mail: "Name2@Example.com".into(),
        created: moment(3),
        parts: JobParts(vec![part(&listed(bob, 3, urls[3], JobState::Failed))]),
    };
    assert_eq!(rows[1], shown);
    assert_eq!(rows.iter().map(|row| row.parts.urls()).collect::<Vec<_>>(), [1, 2, 1, 2, 2]);

    let of_ann = JobFilter { account_id: Some(ann), ..all.clone() };
    let nobody = JobFilter { account_id: Some(AccountId(ann.0 + bob.0)), ..all.clone() };
    let failed_of_bob =
        JobFilter { account_id: Some(bob), state: Some(JobState::Failed), ..of_domain("a.com") };
    let [first, second, third, fourth, fifth] = jobs[..] else { panic!("{jobs:?}") };
    let cases: [(JobFilter, &[JobId]); 14] = [
        (all.clone(), &[fifth, fourth, third, second, first]),
        (of_state(JobState::Pending), &[fifth, first]),
        (of_state(JobState::Done), &[second]),
        (of_state(JobState::Failed), &[fourth, third]),
        (of_ann.clone(), &[fifth, third, second, first]),
        (JobFilter { account_id: Some(ann), ..of_state(JobState::Failed) }, &[third]),
        (nobody, &[]),
        (of_domain("a.com"), &[fourth, third, first]),
        (of_domain("b.com"), &[fourth, second, first]),
        (of_domain("com"), &[]),
        (of_text("%7C"), &[first]),
        (of_text("更新_%"), &[third]),
        (of_text("a.COM"), &[]),
        (failed_of_bob, &[fourth]),
    ];
    check(&storage, &cases).await;
    let page = Page { before: fifth.0, ..Page { order: Order::Newest, ..Page::at(second.0, 2) } };
    let ids: Vec<_> = snapshot.jobs().requests(&all, page).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(ids, [fourth, third]);
    assert_eq!(snapshot.jobs().count(&all, second.0, fourth.0).await.unwrap(), 2);
    assert_eq!(snapshot.jobs().nth_before(fifth.0, 2).await.unwrap(), Some(third));
    assert_eq!(snapshot.jobs().nth_before(fifth.0, 5).await.unwrap(), None);
}

/// A request of several jobs is one row, which passes a filter by all of its parts.
pub(crate) async fn requests_have_parts(storage: Arc<dyn Storage>) {
    let ann = add_account(&storage, 1).await;
    let request = |n: i64, first: i64, url: &str, state: JobState| {
        let cdn = format!("cdn-{n}");
        Job { request: format!("refresh-{first}"), cdn, ..listed(ann, n, &[url], state) }
    };
    // Parts of requests that were accepted side by side.
    let jobs = [
        request(1, 1, "http://a.com/", JobState::Done),
        request(2, 2, "http://a.com/", JobState::Failed),
        request(3, 1, "http://b.com/x", JobState::Pending),
        request(4, 2, "http://b.com/y", JobState::Done),
        request(5, 1, "http://c.com/", JobState::Failed),
        request(6, 6, "http://a.com/", JobState::Done),
        request(7, 6, "http://b.com/x", JobState::Done),
    ];
    let mut ids = Vec::new();
    for job in &jobs {
        ids.push(add(&storage, job).await);
    }
    let [running, failed, done] = [ids[0], ids[1], ids[5]];
    check(
        &storage,
        &[
            (JobFilter::default(), &[done, failed, running]),
            (of_state(JobState::Pending), &[running]),
            (of_state(JobState::Failed), &[failed]),
            (of_state(JobState::Done), &[done]),
            (of_domain("b.com"), &[done, failed, running]),
            (of_domain("c.com"), &[running]),
            (of_text("/x"), &[done, running]),
            (JobFilter { text: Some("/x".into()), ..of_domain("a.com") }, &[]),
        ],
    )
    .await;
    let mut snapshot = storage.read().await.unwrap();
    let parts = |numbers: &[usize]| JobParts(numbers.iter().map(|n| part(&jobs[*n])).collect());
    let rows = snapshot.jobs().requests(&JobFilter::default(), NEWEST).await.unwrap();
    let found: Vec<_> = rows.into_iter().map(|row| row.parts).collect();
    assert_eq!(found, [parts(&[5, 6]), parts(&[1, 3]), parts(&[0, 2, 4])]);
    assert_eq!(snapshot.jobs().parts("refresh-1").await.unwrap(), parts(&[0, 2, 4]));
    for unknown in ["refresh-3", "refresh-9"] {
        assert_eq!(snapshot.jobs().parts(unknown).await.unwrap(), parts(&[]), "{unknown}");
    }
    let kept = snapshot.jobs().find("refresh-5").await.unwrap().unwrap();
    assert_eq!(kept, Job { id: ids[4], ..jobs[4].clone() });
}
