//! Job runner against a scripted provider: retries, leases, progress.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_conformance::doubles::{Reply, ScriptedProvider, unavailable};
use pilothouse_core::cdn::{CellState, JobKind, JobRunner, JobState, JobUrls};
use pilothouse_core::ports::{Clock, ProviderError};
use tokio::sync::Notify;

use crate::cdn::{CdnFixture, USER_MAIL};

/// Three URLs on two domains of the user.
const THREE: &str = "http://cdn.exrqs.com/1|http://cdn.exrqs.com/2|http://img.exrqs.com/3";
/// Longer than any retry delay and any lease.
const LATER: TimeDelta = TimeDelta::minutes(10);

fn calls<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
    expected.map(|(edge, urls)| (edge.to_owned(), urls)).to_vec()
}

#[tokio::test]
async fn every_url_is_purged_on_every_edge() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(THREE).await;
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 1);
    assert_eq!(fixture.level3.calls(), calls([("edge-1", 3), ("edge-2", 3), ("edge-3", 3)]));
    let done = fixture.details(&job).await;
    assert_eq!((done.job.state, done.job.percent, done.job.reason.as_str()), (JobState::Done, 100, ""));
    assert!(done.edges.iter().all(|row| row.count(CellState::Acked) == 3));
    fixture.clock.advance(LATER);
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 0, "a finished job is not claimed again");
}

#[tokio::test]
async fn finished_jobs_are_pruned_after_92_days_and_pending_ones_are_not() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    fixture.clock.advance(TimeDelta::days(91));
    fixture.level3.next("edge-2", Reply::Fails(unavailable()));
    let waiting = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    fixture.pilothouse.housekeep().await.unwrap();
    assert_eq!(fixture.details(&job).await.job.state, JobState::Done);
    fixture.clock.advance(TimeDelta::days(92));
    fixture.pilothouse.housekeep().await.unwrap();
    let left = fixture.pilothouse.jobs().list(&fixture.user, JobKind::Refresh, USER_MAIL).await.unwrap();
    assert_eq!(
        left.iter().map(|job| (job.id, job.state)).collect::<Vec<_>>(),
        [(waiting.id, JobState::Pending)]
    );
}

#[tokio::test]
async fn an_unavailable_edge_is_retried_and_does_not_delay_the_others() {
    let fixture = CdnFixture::new().await;
    fixture.level3.next("edge-2", Reply::Fails(unavailable()));
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    let waiting = fixture.details(&job).await;
    assert_eq!((waiting.job.state, waiting.job.percent), (JobState::Pending, 66));
    assert_eq!(waiting.job.reason, "edge-2: connection refused");
    let cell = &waiting.edges[1].cells[0];
    assert_eq!((cell.state, cell.reason.as_str()), (CellState::Pending, "connection refused"));
    assert_eq!(cell.at, Some(fixture.clock.now()));

    assert_eq!(fixture.job_runner().turn().await.unwrap(), 0, "no retry before its delay is over");
    fixture.level3.calls();
    fixture.clock.advance(LATER);
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.level3.calls(), calls([("edge-2", 3)]), "only the pending cells are retried");
    let done = fixture.job(&job).await;
    assert_eq!((done.state, done.percent, done.reason.as_str()), (JobState::Done, 100, ""));
}

#[tokio::test]
async fn single_urls_are_retried_or_fail_by_the_kind_of_their_error() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    let refused = ProviderError::Refused("403 forbidden".into());
    fixture.level3.next("edge-1", Reply::Each(vec![Ok(()), Err(unavailable()), Err(refused)]));
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.percent, 33);
    fixture.level3.urls();
    fixture.clock.advance(LATER);
    fixture.job_runner().turn().await.unwrap();
    let second = vec!["http://cdn.exrqs.com/2".to_owned()];
    assert_eq!(fixture.level3.urls(), [("edge-1".to_owned(), second)]);
    let failed = fixture.details(&job).await;
    assert_eq!(
        (failed.job.state, failed.job.percent),
        (JobState::Failed, 66),
        "an unfinished job never shows 100"
    );
    assert_eq!(failed.job.reason, "edge-1: 403 forbidden");
    let states: Vec<_> = failed.edges[0].cells.iter().map(|cell| cell.state).collect();
    assert_eq!(states, [CellState::Acked, CellState::Acked, CellState::Failed]);
    fixture.clock.advance(LATER);
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 0);
}

#[tokio::test]
async fn retry_delays_grow_while_nothing_is_confirmed() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    let job = fixture.refresh(THREE).await;
    let mut delays = Vec::new();
    for _ in 0..12 {
        fixture.level3.next("edge-1", Reply::Fails(unavailable()));
        assert_eq!(fixture.job_runner().turn().await.unwrap(), 1);
        let delay = fixture.job(&job).await.due - fixture.clock.now();
        fixture.clock.advance(delay - TimeDelta::microseconds(1));
        assert_eq!(fixture.job_runner().turn().await.unwrap(), 0);
        fixture.clock.advance(TimeDelta::microseconds(1));
        delays.push(delay);
    }
    let seconds = |n| TimeDelta::seconds(n);
    let least = TimeDelta::milliseconds(100);
    assert!((least..=seconds(2)).contains(&delays[0]), "{delays:?}");
    assert!((least..=seconds(16)).contains(&delays[3]), "{delays:?}");
    assert!(delays.iter().all(|delay| (least..=seconds(300)).contains(delay)), "{delays:?}");
    // Jitter may make a single delay short, but hardly all of the longest ones.
    assert!(delays[6..].iter().any(|delay| *delay > seconds(8)), "{delays:?}");

    fixture.level3.next("edge-1", Reply::Each(vec![Ok(()), Err(unavailable()), Err(unavailable())]));
    fixture.job_runner().turn().await.unwrap();
    let delay = fixture.job(&job).await.due - fixture.clock.now();
    assert!(delay <= seconds(1), "progress resets the delay: {delay}");
}

#[tokio::test(start_paused = true)]
async fn another_worker_continues_the_job_of_a_killed_one() {
    let fixture = CdnFixture::new().await;
    fixture.level3.next("edge-3", Reply::Waits(Arc::default()));
    let job = fixture.refresh(THREE).await;
    let runner = fixture.job_runner();
    let killed = tokio::time::timeout(Duration::from_millis(100), runner.turn()).await;
    assert!(killed.is_err(), "edge-3 never answers");
    let interrupted = fixture.details(&job).await;
    assert_eq!(
        (interrupted.job.state, interrupted.job.percent),
        (JobState::Pending, 66),
        "confirmed cells are stored"
    );
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 0, "the lease still runs");
    fixture.level3.calls();
    fixture.clock.advance(LATER);
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 1);
    assert_eq!(fixture.level3.calls(), calls([("edge-3", 3)]));
    let done = fixture.job(&job).await;
    assert_eq!((done.state, done.percent, done.attempt), (JobState::Done, 100, 2));
}

#[tokio::test]
async fn the_report_of_a_worker_whose_lease_ended_is_refused() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    let proceed = Arc::new(Notify::new());
    fixture.level3.next("edge-1", Reply::Waits(proceed.clone()));
    let job = fixture.refresh(THREE).await;
    let runner = fixture.job_runner();
    let stale = tokio::spawn(async move { runner.turn().await });
    while fixture.level3.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance(LATER);
    fixture.level3.next("edge-1", Reply::Fails(unavailable()));
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 1, "the lease has ended");
    let second = fixture.details(&job).await;
    assert_eq!((second.job.attempt, second.job.percent), (2, 0));
    proceed.notify_one();
    stale.await.unwrap().unwrap();
    assert_eq!(fixture.details(&job).await, second, "the report of the first attempt is refused");
}

#[tokio::test(start_paused = true)]
async fn a_worker_renews_its_lease_while_a_call_is_slow() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    let proceed = Arc::new(Notify::new());
    fixture.level3.next("edge-1", Reply::Waits(proceed.clone()));
    let job = fixture.refresh(THREE).await;
    let runner = fixture.job_runner();
    let working = tokio::spawn(async move { runner.turn().await });
    for _ in 0..20 {
        fixture.clock.advance(TimeDelta::seconds(4));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(fixture.job_runner().turn().await.unwrap(), 0);
    }
    proceed.notify_one();
    working.await.unwrap().unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_times_out() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    fixture.level3.next("edge-1", Reply::Waits(Arc::default()));
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    let waiting = fixture.job(&job).await;
    let reason = "edge-1: no answer within 120 s";
    assert_eq!((waiting.state, waiting.reason.as_str()), (JobState::Pending, reason));
}

#[tokio::test]
async fn an_answer_of_the_wrong_length_confirms_nothing() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    fixture.level3.next("edge-1", Reply::Each(vec![Ok(())]));
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    let waiting = fixture.job(&job).await;
    assert_eq!((waiting.percent, waiting.reason.as_str()), (0, "edge-1: answered for 1 of 3 URLs"));
}

#[tokio::test]
async fn percent_does_not_fall_when_edges_are_added() {
    let fixture = CdnFixture::new().await;
    fixture.level3.next("edge-3", Reply::Fails(unavailable()));
    let job = fixture.refresh(THREE).await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.percent, 66);
    let (pilothouse, level3) =
        fixture.with_provider(ScriptedProvider::new(&["edge-1", "edge-2", "edge-3", "edge-4", "edge-5"]));
    for edge in ["edge-3", "edge-4", "edge-5"] {
        level3.next(edge, Reply::Fails(unavailable()));
    }
    fixture.clock.advance(LATER);
    let runner = JobRunner::new(pilothouse);
    runner.turn().await.unwrap();
    assert_eq!(level3.calls(), calls([("edge-3", 3), ("edge-4", 3), ("edge-5", 3)]));
    assert_eq!(fixture.job(&job).await.percent, 66, "6 of 15 cells would be 40 %");
    fixture.clock.advance(LATER);
    runner.turn().await.unwrap();
    let done = fixture.job(&job).await;
    assert_eq!((done.state, done.percent), (JobState::Done, 100));
}

#[tokio::test]
async fn a_pending_job_fails_when_its_account_may_no_longer_purge() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(THREE).await;
    fixture.set_operations(false).await;
    fixture.job_runner().turn().await.unwrap();
    assert!(fixture.level3.calls().is_empty());
    let stopped = fixture.details(&job).await;
    assert_eq!((stopped.job.state, stopped.job.percent), (JobState::Failed, 0));
    assert_eq!(stopped.job.reason, "the account may no longer refresh and preload");
    let cells: Vec<_> = stopped.edges.iter().flat_map(|row| &row.cells).collect();
    assert_eq!(cells.len(), 9);
    assert!(cells.iter().all(|cell| cell.state == CellState::Failed && cell.reason == stopped.job.reason));
    fixture.set_operations(true).await;
    fixture.clock.advance(LATER);
    assert_eq!(fixture.job_runner().turn().await.unwrap(), 0, "a failed job is not resumed");
}

#[tokio::test]
async fn urls_of_a_released_domain_fail_and_the_others_are_purged() {
    let fixture = CdnFixture::with(ScriptedProvider::new(&["edge-1"])).await;
    let job = fixture.refresh(THREE).await;
    fixture.release("cdn.exrqs.com").await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.level3.urls(), [("edge-1".to_owned(), vec!["http://img.exrqs.com/3".to_owned()])]);
    let ended = fixture.details(&job).await;
    assert_eq!((ended.job.state, ended.job.percent), (JobState::Failed, 33));
    let states: Vec<_> = ended.edges[0].cells.iter().map(|cell| cell.state).collect();
    assert_eq!(states, [CellState::Failed, CellState::Failed, CellState::Acked]);

    let job = fixture.refresh("http://img.exrqs.com/4").await;
    fixture.release("img.exrqs.com").await;
    fixture.job_runner().turn().await.unwrap();
    assert!(fixture.level3.calls().is_empty());
    assert_eq!(fixture.job(&job).await.reason, "the domain is no longer the account's");
}

#[tokio::test]
async fn a_job_its_provider_cannot_do_stays_pending_with_the_reason() {
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&["edge-1"]).with_capabilities(|can| can.purge_urls = false))
            .await;
    let job = fixture.refresh(THREE).await;
    for attempt in 1..=3 {
        assert_eq!(fixture.job_runner().turn().await.unwrap(), 1);
        let waiting = fixture.job(&job).await;
        assert_eq!((waiting.state, waiting.percent), (JobState::Pending, 0));
        assert_eq!((waiting.reason.as_str(), waiting.attempt), ("level3 cannot purge", attempt));
        assert_eq!(
            waiting.due - fixture.clock.now(),
            TimeDelta::minutes(1),
            "the delay does not grow, because no call failed"
        );
        fixture.clock.advance(TimeDelta::minutes(1));
    }
    assert!(fixture.level3.calls().is_empty());
    let (pilothouse, _) = fixture.with_provider(ScriptedProvider::new(&["edge-1"]));
    JobRunner::new(pilothouse).turn().await.unwrap();
    assert_eq!(fixture.job(&job).await.state, JobState::Done);
}

#[tokio::test]
async fn a_job_without_a_provider_stays_pending_with_the_reason() {
    let fixture = CdnFixture::new().await;
    let job = fixture.refresh(THREE).await;
    let without = fixture.pilothouse.clone().with_providers(std::iter::empty().collect());
    JobRunner::new(without).turn().await.unwrap();
    let waiting = fixture.job(&job).await;
    assert_eq!(
        (waiting.state, waiting.reason.as_str()),
        (JobState::Pending, "no provider is set up for level3")
    );
}

#[tokio::test]
async fn a_thousand_urls_on_eight_edges_take_29_calls_and_eight_progress_rows() {
    let edges: Vec<_> = (1..=8).map(|n| format!("edge-{n}")).collect();
    let fixture =
        CdnFixture::with(ScriptedProvider::new(&edges.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let path = (0..1000).map(|n| format!("http://cdn.exrqs.com/{n}")).collect::<Vec<_>>().join("|");
    let jobs = fixture.pilothouse.jobs();
    let urls = JobUrls::parse(JobKind::Preload, &path).unwrap();
    let job = jobs.add(&fixture.user, USER_MAIL, &urls).await.unwrap().remove(0);
    fixture.level3.next("edge-8", Reply::Fails(unavailable()));
    fixture.job_runner().turn().await.unwrap();
    let made = fixture.level3.calls();
    assert_eq!(
        (made.len(), made.iter().map(|(_, urls)| urls).sum()),
        (29, 7250),
        "edge-8 fails at its first call and is called no more"
    );
    let waiting = fixture.details(&job).await;
    assert_eq!((waiting.job.percent, waiting.edges[7].encode().lines().count()), (87, 1));
    fixture.clock.advance(LATER);
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.level3.calls(), calls([("edge-8", 250); 4]));
    let done = fixture.details(&job).await;
    assert_eq!((done.job.percent, done.edges.len()), (100, 8));
    assert!(done.edges.iter().all(|row| row.encode().lines().count() == 1));
}
