//! The background work as one future.

use std::time::Duration;

use pilothouse_core::Workers;
use pilothouse_core::account::AuditFilter;
use pilothouse_core::cdn::{DomainState, JobKind, JobState};
use pilothouse_core::{ErrorKind, Page};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{Fake, MAIL, OTHER, Reply, World, down};

/// Waits until it is so, at most five seconds.
async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    let waiting = async {
        while !so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), waiting).await.unwrap();
}

#[tokio::test]
async fn jobs_are_worked_domains_learned_and_the_end_is_prompt() {
    let world = World::new().await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(world.pilothouse.clone()).run(cancel.clone()));
    until(async || {
        let mut snapshot = world.storage.read().await.unwrap();
        let domains = snapshot.domains().of_account(world.user.id, None).await.unwrap();
        domains.iter().all(|domain| domain.state == DomainState::Active)
    })
    .await;

    let job = world.refresh("http://cdn.exrqs.com/1").await;
    let announced = tokio::time::Instant::now();
    until(async || world.job(&job).await.state == JobState::Done).await;
    assert!(announced.elapsed() < Duration::from_millis(900), "sooner than the next poll");

    // A call that never ends does not delay the end, and a refusal counted in memory is not lost.
    world.level3.next("edge-1", Reply::Waits(std::sync::Arc::default()));
    world.refresh("http://cdn.exrqs.com/2").await;
    until(async || !world.level3.calls().is_empty()).await;
    let refused = world.pilothouse.jobs().list(&world.user, JobKind::Refresh, OTHER).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    cancel.cancel();
    timeout(Duration::from_secs(1), running).await.unwrap().unwrap();
    let mut snapshot = world.storage.read().await.unwrap();
    let trail = snapshot.audit().list(&AuditFilter::default(), Page::default()).await.unwrap();
    assert!(trail.iter().any(|row| row.action == "refused"));
}

#[tokio::test]
async fn a_slow_edge_keeps_no_other_job_waiting() {
    let world = World::new().await;
    world.level3.next("edge-1", Reply::Waits(std::sync::Arc::default()));
    let slow = world.refresh("http://cdn.exrqs.com/slow").await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(world.pilothouse.clone()).run(cancel.clone()));
    until(async || world.job(&slow).await.percent == 66).await;
    let quick = world.refresh("http://cdn.exrqs.com/quick").await;
    until(async || world.job(&quick).await.state == JobState::Done).await;

    world.level3.next("edge-2", Reply::Fails(down()));
    let retried = world.refresh("http://cdn.exrqs.com/retried").await;
    until(async || world.job(&retried).await.percent == 66).await;
    world.clock.advance(chrono::TimeDelta::seconds(1));
    until(async || world.job(&retried).await.state == JobState::Done).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn many_jobs_that_only_wait_hold_up_no_other() {
    let world = World::with(Fake::new(&["edge-1"]).that(|can| can.purge_urls = false)).await;
    for n in 0..200 {
        world.refresh(&format!("http://cdn.exrqs.com/{n}")).await;
    }
    let jobs = world.pilothouse.jobs();
    let preload =
        jobs.add(&world.user, JobKind::Preload, MAIL, "http://cdn.exrqs.com/x").await.unwrap().remove(0);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Workers::new(world.pilothouse.clone()).run(cancel.clone()));
    until(async || world.job(&preload).await.state == JobState::Done).await;
    cancel.cancel();
    running.await.unwrap();
}
