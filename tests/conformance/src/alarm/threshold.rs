//! Thresholds: one per customer and domain.

use std::sync::Arc;

use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Share, Threshold};
use pilothouse_core::ports::Storage;

use crate::rows::{add_customer, moment};

fn threshold(account_id: AccountId, domain: &str, n: i64) -> Threshold {
    Threshold {
        account_id,
        domain: domain.to_owned(),
        bandwidth: Some(1000 + n),
        error_ratio: None,
        hit_ratio: Some(Share(900_000 + n)),
        min_requests: n,
        changed: moment(n),
    }
}

/// What is put is found, is replaced, and is deleted once; lists are of one customer, by domain.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (ann, bob) = (add_customer(&storage, 1).await, add_customer(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    for row in [threshold(bob, "b.com", 1), threshold(ann, "b.com", 2), threshold(ann, "a.com", 3)] {
        work.thresholds().put(&row).await.unwrap();
    }
    let replaced = Threshold {
        bandwidth: None,
        error_ratio: Some(Share(0)),
        hit_ratio: None,
        ..threshold(ann, "b.com", 4)
    };
    work.thresholds().put(&replaced).await.unwrap();
    work.commit().await.unwrap();
    let mut work = storage.begin().await.unwrap();
    let rows = work.thresholds();
    assert_eq!(rows.find(ann, "b.com").await.unwrap(), Some(replaced.clone()));
    assert_eq!(rows.find(bob, "a.com").await.unwrap(), None);
    assert_eq!(rows.of_account(ann).await.unwrap(), [threshold(ann, "a.com", 3), replaced]);
    assert_eq!(rows.of_account(bob).await.unwrap(), [threshold(bob, "b.com", 1)]);
    assert_eq!(rows.accounts().await.unwrap(), [ann, bob]);
    assert!(rows.delete(ann, "a.com").await.unwrap());
    assert!(!rows.delete(ann, "a.com").await.unwrap());
    assert_eq!(rows.of_account(ann).await.unwrap().len(), 1);
}

/// Thresholds go with the access of their customer, and with its account.
pub(crate) async fn go_with_their_customer(storage: Arc<dyn Storage>) {
    let (ann, bob, eve) =
        (add_customer(&storage, 1).await, add_customer(&storage, 2).await, add_customer(&storage, 3).await);
    let mut work = storage.begin().await.unwrap();
    for account in [ann, bob, eve] {
        work.thresholds().put(&threshold(account, "a.com", 1)).await.unwrap();
    }
    assert!(work.customers().delete(ann).await.unwrap());
    assert!(work.accounts().delete(bob).await.unwrap());
    assert_eq!(work.thresholds().accounts().await.unwrap(), [eve]);
    assert_eq!(work.thresholds().find(ann, "a.com").await.unwrap(), None);
}
