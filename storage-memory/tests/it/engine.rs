//! The job engine against providers that do as they are told.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_core::cdn::{CellState, JobEngine, JobKind, JobState};
use pilothouse_core::ports::{Clock, ProviderError};
use tokio::sync::Notify;

use crate::world::{Fake, MAIL, Reply, World, down};

const THREE: &str = "http://cdn.exrqs.com/1|http://cdn.exrqs.com/2|http://img.exrqs.com/3";
/// Longer than any pause and any lease.
const LATER: TimeDelta = TimeDelta::minutes(10);

fn calls<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
    expected.map(|(edge, urls)| (edge.to_owned(), urls)).to_vec()
}

#[tokio::test]
async fn every_url_goes_to_every_edge() {
    let world = World::new().await;
    let job = world.refresh(THREE).await;
    assert_eq!(world.engine().turn().await.unwrap(), 1);
    assert_eq!(world.level3.calls(), calls([("edge-1", 3), ("edge-2", 3), ("edge-3", 3)]));
    let done = world.details(&job).await;
    assert_eq!((done.job.state, done.job.percent, done.job.reason.as_str()), (JobState::Done, 100, ""));
    assert!(done.edges.iter().all(|row| row.count(CellState::Acked) == 3));
    world.clock.advance(LATER);
    assert_eq!(world.engine().turn().await.unwrap(), 0, "what is done is not claimed again");
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_and_what_waits_is_not() {
    let world = World::new().await;
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    world.clock.advance(TimeDelta::days(91));
    world.level3.next("edge-2", Reply::Fails(down()));
    let waiting = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    world.pilothouse.housekeep().await.unwrap();
    assert_eq!(world.details(&job).await.job.state, JobState::Done);
    world.clock.advance(TimeDelta::days(92));
    world.pilothouse.housekeep().await.unwrap();
    let left = world.pilothouse.jobs().list(&world.user, JobKind::Refresh, MAIL).await.unwrap();
    assert_eq!(
        left.iter().map(|job| (job.id, job.state)).collect::<Vec<_>>(),
        [(waiting.id, JobState::Pending)]
    );
}

#[tokio::test]
async fn an_edge_that_is_down_holds_up_nobody_and_is_asked_again() {
    let world = World::new().await;
    world.level3.next("edge-2", Reply::Fails(down()));
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    let waiting = world.details(&job).await;
    assert_eq!((waiting.job.state, waiting.job.percent), (JobState::Pending, 66));
    assert_eq!(waiting.job.reason, "edge-2: connection refused");
    let cell = &waiting.edges[1].cells[0];
    assert_eq!((cell.state, cell.reason.as_str()), (CellState::Pending, "connection refused"));
    assert_eq!(cell.at, Some(world.clock.now()));

    assert_eq!(world.engine().turn().await.unwrap(), 0, "not before its pause has ended");
    world.level3.calls();
    world.clock.advance(LATER);
    world.engine().turn().await.unwrap();
    assert_eq!(world.level3.calls(), calls([("edge-2", 3)]), "only what is left");
    let done = world.job(&job).await;
    assert_eq!((done.state, done.percent, done.reason.as_str()), (JobState::Done, 100, ""));
}

#[tokio::test]
async fn single_urls_are_tried_again_or_given_up() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    let refused = ProviderError::Refused("403 forbidden".into());
    world.level3.next("edge-1", Reply::Each(vec![Ok(()), Err(down()), Err(refused)]));
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    assert_eq!(world.job(&job).await.percent, 33);
    world.level3.urls();
    world.clock.advance(LATER);
    world.engine().turn().await.unwrap();
    let second = vec!["http://cdn.exrqs.com/2".to_owned()];
    assert_eq!(world.level3.urls(), [("edge-1".to_owned(), second)]);
    let failed = world.details(&job).await;
    assert_eq!((failed.job.state, failed.job.percent), (JobState::Failed, 66), "not done is never 100");
    assert_eq!(failed.job.reason, "edge-1: 403 forbidden");
    let states: Vec<_> = failed.edges[0].cells.iter().map(|cell| cell.state).collect();
    assert_eq!(states, [CellState::Acked, CellState::Acked, CellState::Failed]);
    world.clock.advance(LATER);
    assert_eq!(world.engine().turn().await.unwrap(), 0);
}

#[tokio::test]
async fn pauses_grow_while_nothing_is_confirmed() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    let job = world.refresh(THREE).await;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.level3.next("edge-1", Reply::Fails(down()));
        assert_eq!(world.engine().turn().await.unwrap(), 1);
        let pause = world.job(&job).await.due - world.clock.now();
        world.clock.advance(pause - TimeDelta::microseconds(1));
        assert_eq!(world.engine().turn().await.unwrap(), 0);
        world.clock.advance(TimeDelta::microseconds(1));
        pauses.push(pause);
    }
    let seconds = |n| TimeDelta::seconds(n);
    let least = TimeDelta::milliseconds(100);
    assert!((least..=seconds(2)).contains(&pauses[0]), "{pauses:?}");
    assert!((least..=seconds(16)).contains(&pauses[3]), "{pauses:?}");
    assert!(pauses.iter().all(|pause| (least..=seconds(300)).contains(pause)), "{pauses:?}");
    // Chance makes a pause short, but hardly all of the longest.
    assert!(pauses[6..].iter().any(|pause| *pause > seconds(8)), "{pauses:?}");

    world.level3.next("edge-1", Reply::Each(vec![Ok(()), Err(down()), Err(down())]));
    world.engine().turn().await.unwrap();
    let pause = world.job(&job).await.due - world.clock.now();
    assert!(pause <= seconds(1), "something was confirmed: {pause}");
}

#[tokio::test]
async fn a_killed_worker_loses_nothing() {
    let world = World::new().await;
    world.level3.next("edge-3", Reply::Waits(Arc::default()));
    let job = world.refresh(THREE).await;
    let engine = world.engine();
    let killed = tokio::time::timeout(Duration::from_millis(100), engine.turn()).await;
    assert!(killed.is_err(), "edge-3 never answers");
    let held = world.details(&job).await;
    assert_eq!((held.job.state, held.job.percent), (JobState::Pending, 66), "what was confirmed is written");
    assert_eq!(world.engine().turn().await.unwrap(), 0, "the lease still runs");
    world.level3.calls();
    world.clock.advance(LATER);
    assert_eq!(world.engine().turn().await.unwrap(), 1);
    assert_eq!(world.level3.calls(), calls([("edge-3", 3)]));
    let done = world.job(&job).await;
    assert_eq!((done.state, done.percent, done.attempt), (JobState::Done, 100, 2));
}

#[tokio::test]
async fn a_stale_workers_report_is_refused() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    let go = Arc::new(Notify::new());
    world.level3.next("edge-1", Reply::Waits(go.clone()));
    let job = world.refresh(THREE).await;
    let engine = world.engine();
    let stale = tokio::spawn(async move { engine.turn().await });
    while world.level3.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    world.clock.advance(LATER);
    world.level3.next("edge-1", Reply::Fails(down()));
    assert_eq!(world.engine().turn().await.unwrap(), 1, "the lease has ended");
    let second = world.details(&job).await;
    assert_eq!((second.job.attempt, second.job.percent), (2, 0));
    go.notify_one();
    stale.await.unwrap().unwrap();
    assert_eq!(world.details(&job).await, second, "what the first brings comes too late");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_keeps_its_lease() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    let go = Arc::new(Notify::new());
    world.level3.next("edge-1", Reply::Waits(go.clone()));
    let job = world.refresh(THREE).await;
    let engine = world.engine();
    let slow = tokio::spawn(async move { engine.turn().await });
    for _ in 0..20 {
        world.clock.advance(TimeDelta::seconds(4));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(world.engine().turn().await.unwrap(), 0);
    }
    go.notify_one();
    slow.await.unwrap().unwrap();
    assert_eq!(world.job(&job).await.state, JobState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_end_is_dropped() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    world.level3.next("edge-1", Reply::Waits(Arc::default()));
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    let waiting = world.job(&job).await;
    let reason = "edge-1: no answer within 120 s";
    assert_eq!((waiting.state, waiting.reason.as_str()), (JobState::Pending, reason));
}

#[tokio::test]
async fn an_answer_of_the_wrong_length_confirms_nothing() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    world.level3.next("edge-1", Reply::Each(vec![Ok(())]));
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    let waiting = world.job(&job).await;
    assert_eq!((waiting.percent, waiting.reason.as_str()), (0, "edge-1: answered for 1 of 3 URLs"));
}

#[tokio::test]
async fn percent_never_falls() {
    let world = World::new().await;
    world.level3.next("edge-3", Reply::Fails(down()));
    let job = world.refresh(THREE).await;
    world.engine().turn().await.unwrap();
    assert_eq!(world.job(&job).await.percent, 66);
    let (pilothouse, level3) =
        world.restarted(Fake::new(&["edge-1", "edge-2", "edge-3", "edge-4", "edge-5"]));
    for edge in ["edge-3", "edge-4", "edge-5"] {
        level3.next(edge, Reply::Fails(down()));
    }
    world.clock.advance(LATER);
    let engine = JobEngine::new(pilothouse);
    engine.turn().await.unwrap();
    assert_eq!(level3.calls(), calls([("edge-3", 3), ("edge-4", 3), ("edge-5", 3)]));
    assert_eq!(world.job(&job).await.percent, 66, "6 of 15 are no step back");
    world.clock.advance(LATER);
    engine.turn().await.unwrap();
    let done = world.job(&job).await;
    assert_eq!((done.state, done.percent), (JobState::Done, 100));
}

#[tokio::test]
async fn without_operations_a_waiting_job_stops() {
    let world = World::new().await;
    let job = world.refresh(THREE).await;
    world.set_operations(false).await;
    world.engine().turn().await.unwrap();
    assert!(world.level3.calls().is_empty());
    let stopped = world.details(&job).await;
    assert_eq!((stopped.job.state, stopped.job.percent), (JobState::Failed, 0));
    assert_eq!(stopped.job.reason, "the account may no longer refresh and preload");
    let cells: Vec<_> = stopped.edges.iter().flat_map(|row| &row.cells).collect();
    assert_eq!(cells.len(), 9);
    assert!(cells.iter().all(|cell| cell.state == CellState::Failed && cell.reason == stopped.job.reason));
    world.set_operations(true).await;
    world.clock.advance(LATER);
    assert_eq!(world.engine().turn().await.unwrap(), 0, "stopped is stopped");
}

#[tokio::test]
async fn urls_of_a_released_domain_stop_and_the_others_go_on() {
    let world = World::with(Fake::new(&["edge-1"])).await;
    let job = world.refresh(THREE).await;
    world.release("cdn.exrqs.com").await;
    world.engine().turn().await.unwrap();
    assert_eq!(world.level3.urls(), [("edge-1".to_owned(), vec!["http://img.exrqs.com/3".to_owned()])]);
    let ended = world.details(&job).await;
    assert_eq!((ended.job.state, ended.job.percent), (JobState::Failed, 33));
    let states: Vec<_> = ended.edges[0].cells.iter().map(|cell| cell.state).collect();
    assert_eq!(states, [CellState::Failed, CellState::Failed, CellState::Acked]);

    let job = world.refresh("http://img.exrqs.com/4").await;
    world.release("img.exrqs.com").await;
    world.engine().turn().await.unwrap();
    assert!(world.level3.calls().is_empty());
    assert_eq!(world.job(&job).await.reason, "the domain is no longer the account's");
}

#[tokio::test]
async fn what_the_provider_cannot_do_waits_and_says_why() {
    let world = World::with(Fake::new(&["edge-1"]).that(|can| can.purge_urls = false)).await;
    let job = world.refresh(THREE).await;
    for attempt in 1..=3 {
        assert_eq!(world.engine().turn().await.unwrap(), 1);
        let waiting = world.job(&job).await;
        assert_eq!((waiting.state, waiting.percent), (JobState::Pending, 0));
        assert_eq!((waiting.reason.as_str(), waiting.attempt), ("level3 cannot purge", attempt));
        assert_eq!(
            waiting.due - world.clock.now(),
            TimeDelta::minutes(1),
            "nobody's failure: no longer pause"
        );
        world.clock.advance(TimeDelta::minutes(1));
    }
    assert!(world.level3.calls().is_empty());
    let (pilothouse, _) = world.restarted(Fake::new(&["edge-1"]));
    JobEngine::new(pilothouse).turn().await.unwrap();
    assert_eq!(world.job(&job).await.state, JobState::Done);
}

#[tokio::test]
async fn a_job_whose_provider_is_gone_waits_and_says_why() {
    let world = World::new().await;
    let job = world.refresh(THREE).await;
    let alone = world.pilothouse.clone().with_providers(std::iter::empty().collect());
    JobEngine::new(alone).turn().await.unwrap();
    let waiting = world.job(&job).await;
    assert_eq!(
        (waiting.state, waiting.reason.as_str()),
        (JobState::Pending, "no provider is set up for level3")
    );
}

#[tokio::test]
async fn a_thousand_urls_on_eight_edges_are_a_few_calls_and_eight_rows() {
    let edges: Vec<_> = (1..=8).map(|n| format!("edge-{n}")).collect();
    let world = World::with(Fake::new(&edges.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let path = (0..1000).map(|n| format!("http://cdn.exrqs.com/{n}")).collect::<Vec<_>>().join("|");
    let jobs = world.pilothouse.jobs();
    let job = jobs.add(&world.user, JobKind::Preload, MAIL, &path).await.unwrap().remove(0);
    world.level3.next("edge-8", Reply::Fails(down()));
    world.engine().turn().await.unwrap();
    let made = world.level3.calls();
    assert_eq!((made.len(), made.iter().map(|(_, urls)| urls).sum()), (29, 7250), "edge-8 is asked once");
    let waiting = world.details(&job).await;
    assert_eq!((waiting.job.percent, waiting.edges[7].encode().lines().count()), (87, 1));
    world.clock.advance(LATER);
    world.engine().turn().await.unwrap();
    assert_eq!(world.level3.calls(), calls([("edge-8", 250); 4]));
    let done = world.details(&job).await;
    assert_eq!((done.job.percent, done.edges.len()), (100, 8));
    assert!(done.edges.iter().all(|row| row.encode().lines().count() == 1));
}
