//! Transactions, snapshots, locks and the store's clock.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::Page;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::{LockKey, Storage, StorageError};

use crate::race::race;
use crate::rows::{account, task};

/// A transaction that is dropped leaves nothing behind, and the store goes on.
pub(crate) async fn dropped_is_rolled_back(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    drop(work);
    assert_eq!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap(), None);
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    work.commit().await.unwrap();
    assert!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap().is_some());
}

/// A rollback undoes everything.
pub(crate) async fn rolled_back_is_gone(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    assert!(work.tasks().find(task(1).task_id).await.unwrap().is_some(), "a transaction sees its own writes");
    work.rollback().await.unwrap();
    assert_eq!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap(), None);
}

/// A relaxed commit is visible to others before it is on the disk, and the next durable commit flushes it, too.
pub(crate) async fn unflushed_is_visible(storage: Arc<dyn Storage>) {
    for n in 1..=2 {
        let mut work = storage.begin().await.unwrap();
        work.tasks().insert(&task(n)).await.unwrap();
        if n == 1 {
            work.commit_relaxed().await.unwrap();
        } else {
            work.commit().await.unwrap();
        }
        let mut snapshot = storage.read().await.unwrap();
        assert!(snapshot.tasks().find(task(n).task_id).await.unwrap().is_some());
    }
    assert!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap().is_some());
}

/// A snapshot does not see commits after its first read.
pub(crate) async fn snapshot_does_not_move(storage: Arc<dyn Storage>) {
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.tasks().find(task(1).task_id).await.unwrap(), None);
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    work.commit().await.unwrap();
    assert_eq!(snapshot.tasks().find(task(1).task_id).await.unwrap(), None);
    assert_eq!(snapshot.tasks().find_status(task(1).task_id).await.unwrap(), None);
    let mut later = storage.read().await.unwrap();
    assert!(later.tasks().find(task(1).task_id).await.unwrap().is_some());
}

/// A write through a snapshot is refused by that name and changes nothing.
pub(crate) async fn snapshot_refuses_writes(storage: Arc<dyn Storage>) {
    let mut snapshot = storage.read().await.unwrap();
    let refused = snapshot.tasks().insert(&task(1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::ReadOnly), "{refused:?}");
    drop(snapshot);
    assert_eq!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap(), None);
}

/// One question is answered without a snapshot; writes are refused just so, also those that answer rows.
pub(crate) async fn peek_reads_and_refuses_writes(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    work.commit().await.unwrap();
    let found = storage.peek().await.unwrap().tasks().find(task(1).task_id).await.unwrap();
    assert!(found.is_some());
    let refused = storage.peek().await.unwrap().tasks().insert(&task(2)).await.unwrap_err();
    assert!(matches!(refused, StorageError::ReadOnly), "{refused:?}");
    let refused = storage.peek().await.unwrap().accounts().insert(&account(1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::ReadOnly), "{refused:?}");
    assert_eq!(storage.read().await.unwrap().accounts().by_name("name1").await.unwrap(), None);
}

/// The store's clock does not go back between transactions.
pub(crate) async fn clock_moves_forward(storage: Arc<dyn Storage>) {
    let mut last = storage.begin().await.unwrap().now().await.unwrap();
    for _ in 0..10 {
        let now = storage.begin().await.unwrap().now().await.unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
}

/// Of two transactions under one lock, the second sees what the first has written: nobody writes on what is old.
pub(crate) async fn lock_serialises(storage: Arc<dyn Storage>) {
    race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::Accounts).await.unwrap();
        if work.tasks().list(&TaskFilter::default(), Page::default()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            work.tasks().insert(&task(n)).await.unwrap();
        }
        work.commit().await.unwrap();
    })
    .await;
    let tasks =
        storage.read().await.unwrap().tasks().list(&TaskFilter::default(), Page::default()).await.unwrap();
    assert_eq!(tasks.len(), 1, "only the first found the list empty");
}
