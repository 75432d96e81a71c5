//! Spending of vendors' quotas: sums by quota, day and customer, and days that are forgotten.

use std::sync::Arc;

use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::VendorSpending;
use pilothouse_core::ports::{Operation, Storage};

use crate::race::race;
use crate::rows::{AWKWARD, moment};

/// Items that the customer 7 spent of a quota that begins anew at [`moment`] 2.
fn spending(items: i64) -> VendorSpending {
    VendorSpending {
        cdn: "qcloud".into(),
        operation: Operation::PurgeUrls,
        pool: AWKWARD.into(),
        account_id: AccountId(7),
        resets_at: moment(2),
        items,
    }
}

async fn spend(storage: &Arc<dyn Storage>, rows: &[VendorSpending]) {
    let mut work = storage.begin().await.unwrap();
    for row in rows {
        work.vendor_spending().spend(row).await.unwrap();
    }
    work.commit().await.unwrap();
}

async fn of_cdn(storage: &Arc<dyn Storage>, cdn: &str) -> Vec<VendorSpending> {
    storage.read().await.unwrap().vendor_spending().of_cdn(cdn).await.unwrap()
}

/// Items of the same quota, day and customer are added up, and no others; rows are in their order.
pub(crate) async fn sums_are_apart(storage: Arc<dyn Storage>) {
    let others = [
        VendorSpending { operation: Operation::Preload, ..spending(10) },
        VendorSpending { pool: "zone".into(), ..spending(20) },
        VendorSpending { resets_at: moment(3), ..spending(30) },
        VendorSpending { account_id: AccountId(8), ..spending(40) },
    ];
    let foreign = VendorSpending { cdn: "other".into(), ..spending(50) };
    spend(&storage, &[spending(1)]).await;
    spend(&storage, &others).await;
    spend(&storage, &[foreign.clone(), spending(2)]).await;
    let mut rows = of_cdn(&storage, "qcloud").await;
    assert_eq!(rows[0].operation, Operation::PurgeUrls);
    assert_eq!(rows.pop().unwrap(), others[0], "the last by its operation");
    for row in [spending(3), others[1].clone(), others[2].clone(), others[3].clone()] {
        assert!(rows.contains(&row), "{row:?} in {rows:?}");
    }
    assert_eq!(rows.len(), 4);
    let place = |row: &VendorSpending| rows.iter().position(|other| other == row).unwrap();
    assert!(place(&spending(3)) < place(&others[3]) && place(&others[3]) < place(&others[2]));
    assert_eq!(of_cdn(&storage, "other").await, [foreign]);
}

/// A day is forgotten that began anew before the time, of one cdn.
pub(crate) async fn forget_takes_days_that_ended(storage: Arc<dyn Storage>) {
    let next = VendorSpending { resets_at: moment(3), ..spending(30) };
    let foreign = VendorSpending { cdn: "other".into(), ..spending(50) };
    spend(&storage, &[spending(1), next.clone(), foreign.clone()]).await;
    for (before, left) in [(2, vec![spending(1), next.clone()]), (3, vec![next.clone()]), (4, Vec::new())] {
        let mut work = storage.begin().await.unwrap();
        work.vendor_spending().forget("qcloud", moment(before)).await.unwrap();
        work.commit().await.unwrap();
        assert_eq!(of_cdn(&storage, "qcloud").await, left);
    }
    assert_eq!(of_cdn(&storage, "other").await, [foreign]);
}

/// Of 16 who spend side by side, none is lost.
pub(crate) async fn race_loses_nothing(storage: Arc<dyn Storage>) {
    race(&storage, async |storage: Arc<dyn Storage>, n| spend(&storage, &[spending(n + 1)]).await).await;
    assert_eq!(of_cdn(&storage, "qcloud").await, [spending(136)]);
}
