//! Background workers, run as one future.

use std::time::Duration;

use pilothouse_conformance::doubles::{Reply, ScriptedProvider, unavailable};
use pilothouse_core::Workers;
use pilothouse_core::account::AuditFilter;
use pilothouse_core::cdn::{DomainState, JobKind, JobState, JobUrls};
use pilothouse_core::{ErrorKind, Page};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cdn::{CdnFixture, OTHER_MAIL, USER_MAIL};

/// Waits until a condition holds, at most a minute.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), waiting).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn workers_sync_domains_run_jobs_and_stop_promptly() {
    let fixture = CdnFixture::new().await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(fixture.pilothouse.clone()).run(cancel.clone()));
    until(async || {
        let mut snapshot = fixture.storage.read().await.unwrap();
        let domains = snapshot.domains().of_account(fixture.user.id, None).await.unwrap();
        domains.iter().all(|domain| domain.state == DomainState::Active)
    })
    .await;

    let job = fixture.refresh("http://cdn.exrqs.com/1").await;
    let announced = tokio::time::Instant::now();
    until(async || fixture.job(&job).await.state == JobState::Done).await;
    assert!(
        announced.elapsed() < Duration::from_millis(900),
        "woken by the announcement, before the next poll"
    );

    // A call without an answer does not delay the stop, and refusals counted in memory are flushed.
    fixture.level3.next("edge-1", Reply::Waits(std::sync::Arc::default()));
    fixture.refresh("http://cdn.exrqs.com/2").await;
    until(async || !fixture.level3.calls().is_empty()).await;
    let refused =
        fixture.pilothouse.jobs().list(&fixture.user, JobKind::Refresh, OTHER_MAIL).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    cancel.cancel();
    timeout(Duration::from_secs(1), running).await.unwrap().unwrap();
    let mut snapshot = fixture.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert!(trail.iter().any(|row| row.action == "refused"));
}

#[tokio::test]
async fn a_slow_edge_delays_no_other_job() {
    let fixture = CdnFixture::new().await;
    fixture.level3.next("edge-1", Reply::Waits(std::sync::Arc::default()));
    let slow = fixture.refresh("http://cdn.exrqs.com/slow").await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(fixture.pilothouse.clone()).run(cancel.clone()));
    until(async || fixture.job(&slow).await.percent == 66).await;
    let quick = fixture.refresh("http://cdn.exrqs.com/quick").await;
    until(async || fixture.job(&quick).await.state == JobState::Done).await;

    fixture.level3.next("edge-2", Reply::Fails(unavailable()));
    let retried = fixture.refresh("http://cdn.exrqs.com/retried").await;
    until(async || fixture.job(&retried).await.percent == 66).await;
    fixture.clock.advance(chrono::TimeDelta::seconds(1));
    until(async || fixture.job(&retried).await.state == JobState::Done).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn jobs_that_cannot_run_do_not_delay_others() {
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.purge_urls = false))
            .await;
    for n in 0..200 {
        fixture.refresh(&format!("http://cdn.exrqs.com/{n}")).await;
    }
    let jobs = fixture.pilothouse.jobs();
    let urls = JobUrls::parse(JobKind::Preload, "http://cdn.exrqs.com/x").unwrap();
    let preload = jobs.add(&fixture.user, USER_MAIL, &urls).await.unwrap().remove(0);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(fixture.pilothouse.clone()).run(cancel.clone()));
    until(async || fixture.job(&preload).await.state == JobState::Done).await;
    cancel.cancel();
    running.await.unwrap();
}
