//! Conformance suite on the in-memory store.

use std::sync::{Arc, Mutex};

use pilothouse_conformance::model;
use pilothouse_core::account::Group;
use pilothouse_core::ports::{LockKey, Storage};
use pilothouse_storage_memory::MemoryStorage;

async fn fresh(_case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
    Some((Arc::new(MemoryStorage::new()), ()))
}

mod conformance {
    pilothouse_conformance::conformance_tests!(crate::fresh);
}

/// A strict store panics where something else is awaited while it is open, and nowhere else.
#[tokio::test]
async fn a_strict_store_allows_nothing_else_to_be_awaited() {
    let storage = MemoryStorage::new().strict();
    let task = async |elsewhere: bool, write: bool| {
        let storage = storage.clone();
        let owner = tokio::spawn(async move {
            let mut snapshot = storage.read().await.unwrap();
            assert_eq!(snapshot.accounts().count_holding(Group::ReadTasks).await.unwrap(), 0);
            if elsewhere && !write {
                tokio::task::yield_now().await;
            }
            drop(snapshot);
            tokio::task::yield_now().await;
            let mut work = storage.begin().await.unwrap();
            work.lock(LockKey::Accounts).await.unwrap();
            work.now().await.unwrap();
            if elsewhere && write {
                tokio::task::yield_now().await;
            }
            work.commit().await.unwrap();
        });
        owner.await.is_ok()
    };
    assert!(task(false, false).await);
    assert!(!task(true, false).await, "a snapshot was open");
    assert!(!task(true, true).await, "a transaction was open");
}

/// Each sequence runs in a store of its own; its restarts of the server find the same store again.
#[tokio::test]
async fn nodes_hold_what_they_should() {
    let last: Mutex<Option<(u64, MemoryStorage)>> = Mutex::default();
    let open = async |seed: u64| {
        let mut last = last.lock().unwrap();
        if last.as_ref().is_none_or(|(of, _)| *of != seed) {
            *last = Some((seed, MemoryStorage::new()));
        }
        let storage: Arc<dyn Storage> = Arc::new(last.as_ref().unwrap().1.clone());
        storage
    };
    model::nodes_have_what_they_should(open).await;
}
