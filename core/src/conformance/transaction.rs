//! Transactions, snapshots, locks and wake-ups.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::account::account;
use super::ops::task;
use super::race;
use crate::ports::{LockKey, Signal, Storage, StorageError, Topic};

/// A transaction that is dropped leaves nothing behind, and the store goes on.
pub async fn dropped_is_rolled_back(storage: Arc<dyn Storage>) {
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
pub async fn rolled_back_is_gone(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    work.tasks().insert(&task(1)).await.unwrap();
    assert!(work.tasks().find(task(1).task_id).await.unwrap().is_some(), "a transaction sees its own writes");
    work.rollback().await.unwrap();
    assert_eq!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap(), None);
}

/// What need not be on the disk yet is visible to others all the same, and what is committed after it takes it along.
pub async fn unflushed_is_visible(storage: Arc<dyn Storage>) {
    for n in 1..=2 {
        let mut work = storage.begin().await.unwrap();
        work.tasks().insert(&task(n)).await.unwrap();
        if n == 1 {
            work.commit_unflushed().await.unwrap();
        } else {
            work.commit().await.unwrap();
        }
        let mut snapshot = storage.read().await.unwrap();
        assert!(snapshot.tasks().find(task(n).task_id).await.unwrap().is_some());
    }
    assert!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap().is_some());
}

/// What a snapshot has begun to read does not change under it.
pub async fn snapshot_does_not_move(storage: Arc<dyn Storage>) {
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
pub async fn snapshot_refuses_writes(storage: Arc<dyn Storage>) {
    let mut snapshot = storage.read().await.unwrap();
    let refused = snapshot.tasks().insert(&task(1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::ReadOnly), "{refused:?}");
    drop(snapshot);
    assert_eq!(storage.read().await.unwrap().tasks().find(task(1).task_id).await.unwrap(), None);
}

/// One question is answered without a snapshot; writes are refused just so, also those that answer rows.
pub async fn peek_reads_and_refuses_writes(storage: Arc<dyn Storage>) {
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

/// A waiter hears what is announced after it began to listen, or that it lost something.
pub async fn announced_reaches_waiters(storage: Arc<dyn Storage>) {
    let mut signals = storage.signals();
    // A store may need a moment before its waiters hear, so the announcement is repeated until it is heard.
    for topic in [Topic::Jobs, Topic::App(i64::MAX)] {
        let heard = async {
            loop {
                storage.announce(&[topic]).await;
                match tokio::time::timeout(Duration::from_millis(200), signals.next()).await {
                    Ok(Some(Signal::Changed(heard))) if heard == topic => return,
                    Ok(None) => panic!("the signals ended"),
                    Ok(Some(_)) | Err(_) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
    }
}

/// The store's clock does not go back between transactions.
pub async fn clock_moves_forward(storage: Arc<dyn Storage>) {
    let mut last = storage.begin().await.unwrap().now().await.unwrap();
    for _ in 0..10 {
        let now = storage.begin().await.unwrap().now().await.unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
}

/// Of two transactions under one lock, the second sees what the first has written: nobody writes on what is old.
pub async fn lock_serialises(storage: Arc<dyn Storage>) {
    race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::Accounts).await.unwrap();
        if work.tasks().list(crate::Page::default()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            work.tasks().insert(&task(n)).await.unwrap();
        }
        work.commit().await.unwrap();
    })
    .await;
    let tasks = storage.read().await.unwrap().tasks().list(crate::Page::default()).await.unwrap();
    assert_eq!(tasks.len(), 1, "only the first found the list empty");
}
