//! Readiness: a store that refuses writes, and background jobs that panic.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::FaultyStorage;
use pilothouse_core::{Readiness, Workers};
use pilothouse_storage_memory::MemoryStorage;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

fn faulty() -> (Arc<FaultyStorage>, Fixture) {
    let faulty = FaultyStorage::new(Arc::new(MemoryStorage::new().strict()));
    (faulty.clone(), Fixture::new(faulty))
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_writes_is_not_ready_until_it_takes_them_again() {
    let (faulty, fixture) = faulty();
    let pilothouse = &fixture.pilothouse;
    assert_eq!(pilothouse.readiness().await, Readiness::Ready);
    faulty.refuse_writes(true);
    assert_eq!(pilothouse.readiness().await, Readiness::Ready, "an answer is good for a second");
    sleep(Duration::from_millis(1001)).await;
    assert_eq!(pilothouse.readiness().await, Readiness::StoreNotReady);
    faulty.refuse_writes(false);
    sleep(Duration::from_millis(1001)).await;
    assert_eq!(pilothouse.readiness().await, Readiness::Ready);
}

#[tokio::test(start_paused = true)]
async fn background_jobs_that_panic_are_started_again() {
    let (faulty, fixture) = faulty();
    let pilothouse = fixture.pilothouse.clone();
    let stop = CancellationToken::new();
    // Whichever jobs write first meet the panics.
    faulty.panic_next_writes(2);
    let running = tokio::spawn(Workers::new(pilothouse.clone()).run(stop.clone()));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(pilothouse.readiness().await, Readiness::WorkerStalled);
    let restarts: u64 = pilothouse.workers().iter().map(|job| job.restarts).sum();
    assert_eq!(restarts, 2, "{:?}", pilothouse.workers());
    sleep(Duration::from_secs(61)).await;
    assert_eq!(pilothouse.readiness().await, Readiness::Ready, "{:?}", pilothouse.workers());
    stop.cancel();
    running.await.unwrap();
    assert!(pilothouse.workers().is_empty(), "jobs that were stopped are not overdue");
}
