//! Jobs of all customers for operators: who may list them, how far a search goes, and what a retry tries again.

use std::sync::Arc;

use chrono::TimeDelta;
use pilothouse_conformance::doubles::Reply;
use pilothouse_core::account::AuditFilter;
use pilothouse_core::cdn::{CellState, Job, JobFilter, JobQuery, JobState};
use pilothouse_core::ports::ProviderError;
use pilothouse_core::{ErrorKind, Order, Page};
use tokio::sync::Notify;

use crate::cdn::{CdnFixture, OTHER_MAIL, USER_MAIL};

const TWO: &str = "http://cdn.exrqs.com/1|http://img.exrqs.com/2";

fn refused() -> ProviderError {
    ProviderError::Refused("403 forbidden".into())
}

async fn retry(fixture: &CdnFixture, job: &Job) -> usize {
    fixture.pilothouse.jobs().retry(&fixture.operator, &job.task_id).await.unwrap()
}

/// Rows of the audit trail that tell of a retry.
async fn audited(fixture: &CdnFixture) -> usize {
    let mut snapshot = fixture.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::at(0, 1000)).await.unwrap();
    trail.iter().filter(|row| row.action == "cdn.retry").count()
}

#[tokio::test]
async fn a_retry_tries_the_failed_cells_again_and_no_others() {
    let fixture = CdnFixture::new().await;
    fixture.level3.next("edge-2", Reply::Each(vec![Ok(()), Err(refused())]));
    let job = fixture.refresh(TWO).await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Failed);
    fixture.level3.urls();

    assert_eq!(retry(&fixture, &job).await, 1);
    let again = fixture.job(&job).await;
    assert_eq!((again.state, again.percent, again.reason.as_str()), (JobState::Pending, 83, ""));
    assert_eq!(again.stamp, job.stamp, "a purge that was accepted later stays the later one");
    assert_eq!(retry(&fixture, &job).await, 0, "nothing of it has failed any more");
    fixture.job_runner().turn().await.unwrap();
    let called = ("edge-2".to_owned(), vec!["http://img.exrqs.com/2".to_owned()]);
    assert_eq!(fixture.level3.urls(), [called]);
    assert_eq!((fixture.job(&job).await.state, fixture.job(&job).await.percent), (JobState::Done, 100));
    assert_eq!(retry(&fixture, &job).await, 0, "it is done");
    assert_eq!(audited(&fixture).await, 1);
}

#[tokio::test]
async fn a_retry_of_a_job_that_was_stopped_tries_what_it_gave_up() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(TWO).await;
    fixture.set_operations(false).await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Failed);
    assert_eq!(retry(&fixture, &job).await, 6);
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Failed, "the account still may not purge");
    fixture.set_operations(true).await;
    assert_eq!(retry(&fixture, &job).await, 6);
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test]
async fn a_retry_lets_what_is_running_go_on() {
    let fixture = CdnFixture::new().await;
    let proceed = Arc::new(Notify::new());
    fixture.level3.next("edge-1", Reply::Each(vec![Ok(()), Err(refused())]));
    fixture.level3.next("edge-3", Reply::Waits(proceed.clone()));
    let job = fixture.refresh(TWO).await;
    let runner = fixture.job_runner();
    let (_, retried) = tokio::join!(runner.turn(), async {
        while fixture.details(&job).await.edges[0].count(CellState::Failed) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let retried = retry(&fixture, &job).await;
        proceed.notify_one();
        retried
    });
    assert_eq!(retried, 1);
    let waiting = fixture.details(&job).await;
    assert_eq!(waiting.job.state, JobState::Pending);
    assert_eq!(waiting.edges[0].count(CellState::Pending), 1);
    fixture.clock.advance(TimeDelta::minutes(10));
    fixture.job_runner().turn().await.unwrap();
    let done = fixture.details(&job).await;
    assert_eq!(done.job.state, JobState::Done);
    assert!(done.edges.iter().all(|row| row.count(CellState::Acked) == 2));
}

#[tokio::test]
async fn only_operators_list_and_retry() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(TWO).await;
    let jobs = fixture.pilothouse.jobs();
    let page = Page { order: Order::Newest, total: true, ..Page::default() };
    let refused = jobs.list_all(&fixture.user, &JobQuery::default(), page).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let refused = jobs.retry(&fixture.user, &job.task_id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let absent = jobs.retry(&fixture.operator, "refresh-0").await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);

    let listed = async |query: JobQuery| jobs.list_all(&fixture.operator, &query, page).await;
    let whole = listed(JobQuery::default()).await.unwrap();
    assert_eq!(
        (whole.rows[0].parts.urls(), whole.rows[0].mail.as_str(), whole.total),
        (2, USER_MAIL, Some(1))
    );
    let of = |mail: &str| JobQuery { login_email: Some(mail.to_owned()), ..JobQuery::default() };
    assert_eq!(listed(of(USER_MAIL)).await.unwrap().rows, whole.rows);
    assert_eq!(listed(of(OTHER_MAIL)).await.unwrap().rows, []);
    assert_eq!(listed(of("nobody@example.com")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let domain = |name: &str| JobQuery { domain: Some(name.to_owned()), ..JobQuery::default() };
    assert_eq!(listed(domain("IMG.exrqs.com")).await.unwrap().rows, whole.rows);
    assert_eq!(listed(domain("no_host")).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_search_looks_at_the_newest_jobs_and_says_where_it_goes_on() {
    let fixture = CdnFixture::new().await;
    let oldest = fixture.refresh("http://cdn.exrqs.com/needle").await;
    let mut work = fixture.storage.begin().await.unwrap();
    let mut last = oldest.id;
    for n in 0..JobFilter::SEARCHED {
        let task_id = format!("refresh-{n}");
        let urls = vec!["http://cdn.exrqs.com/hay".to_owned()];
        last = work.jobs().insert(&Job { task_id, urls, ..oldest.clone() }).await.unwrap();
    }
    work.commit().await.unwrap();
    let query = JobQuery { text: Some("needle".to_owned()), ..JobQuery::default() };
    let page = Page { order: Order::Newest, total: true, ..Page::default() };
    let first = fixture.pilothouse.jobs().list_all(&fixture.operator, &query, page).await.unwrap();
    assert_eq!((first.rows, first.total), (Vec::new(), Some(0)));
    let before = first.search_before.unwrap();
    assert_eq!(before, last.0 + 1 - JobFilter::SEARCHED);
    let page = Page { before, ..page };
    let second = fixture.pilothouse.jobs().list_all(&fixture.operator, &query, page).await.unwrap();
    assert_eq!((second.rows[0].id, second.search_before), (oldest.id, None));
}
