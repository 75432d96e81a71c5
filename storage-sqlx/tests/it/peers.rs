//! Several servers on one Postgres, one of which stands still with a lock.

use std::time::{Duration, Instant};

use pilothouse_conformance::rows::task;
use pilothouse_core::ports::{LockKey, Storage, StorageError};
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::postgres_or_skip;

/// Limit of the time that a frozen server stops the others.
const FROZEN: Duration = Duration::from_secs(30);

async fn servers(test: &str) -> Option<[SqlxStorage; 2]> {
    let url = postgres_or_skip(test)?.database().url;
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.migrate().await.unwrap();
    Some([storage, SqlxStorage::postgres(&url).await.unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_loses_its_locks() {
    let Some([frozen, other]) = servers("a_frozen_server_loses_its_locks").await else { return };
    let mut held = frozen.begin().await.unwrap();
    held.lock(LockKey::Accounts).await.unwrap();
    held.tasks().insert(&task(1)).await.unwrap();
    let start = Instant::now();
    let mut work = other.begin().await.unwrap();
    work.lock(LockKey::Accounts).await.unwrap();
    work.tasks().insert(&task(2)).await.unwrap();
    work.commit().await.unwrap();
    assert!(start.elapsed() < FROZEN, "it waited {:?}", start.elapsed());
    assert!(start.elapsed() > Duration::from_secs(1), "the lock was held");
    // It thaws: what it had begun is gone, and it can begin anew.
    let failed = held.commit().await.unwrap_err();
    assert!(matches!(failed, StorageError::Unavailable(_) | StorageError::CommitUnknown(_)), "{failed:?}");
    let mut work = frozen.begin().await.unwrap();
    work.lock(LockKey::Accounts).await.unwrap();
    assert!(work.tasks().find(task(1).task_id).await.unwrap().is_none(), "rolled back");
    assert!(work.tasks().find(task(2).task_id).await.unwrap().is_some());
    work.commit().await.unwrap();
}

/// A server that is busy with the lock keeps it; who waits gives up and says so.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_lock_gives_up() {
    let Some([busy, other]) = servers("who_waits_for_a_lock_gives_up").await else { return };
    let mut held = busy.begin().await.unwrap();
    held.lock(LockKey::Cdns).await.unwrap();
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        let mut work = other.begin().await.unwrap();
        work.lock(LockKey::Cdns).await
    });
    while !waiting.is_finished() {
        held.tasks().find(task(1).task_id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(start.elapsed() < FROZEN, "it does not give up");
    }
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
    held.tasks().insert(&task(1)).await.unwrap();
    held.commit().await.unwrap();
}
