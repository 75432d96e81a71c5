//! Knowledge of vendors' figures: a row per cdn that is replaced.

use std::sync::Arc;

use pilothouse_core::cdn::VendorFigures;
use pilothouse_core::ports::{LockKey, Storage};

use crate::race::race;
use crate::rows::moment;

fn row(cdn: &str, n: i64) -> VendorFigures {
    VendorFigures {
        cdn: cdn.into(),
        known_until: moment(n),
        is_estimated: n % 2 == 0,
        pulled_at: moment(n + 1),
    }
}

async fn put(storage: &Arc<dyn Storage>, row: &VendorFigures) {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    work.vendor_figures().put(row).await.unwrap();
    work.commit().await.unwrap();
}

async fn find(storage: &Arc<dyn Storage>, cdn: &str) -> Option<VendorFigures> {
    storage.read().await.unwrap().vendor_figures().find(cdn).await.unwrap()
}

/// A row is found as it was put last, and that of another cdn is another.
pub(crate) async fn put_replaces(storage: Arc<dyn Storage>) {
    assert_eq!(find(&storage, "qcloud").await, None);
    put(&storage, &row("qcloud", 1)).await;
    put(&storage, &row("other", 5)).await;
    assert_eq!(find(&storage, "qcloud").await, Some(row("qcloud", 1)));
    put(&storage, &row("qcloud", 2)).await;
    assert_eq!(find(&storage, "qcloud").await, Some(row("qcloud", 2)));
    assert_eq!(find(&storage, "other").await, Some(row("other", 5)));
}

/// 16 who put a row of the same cdn side by side leave one of theirs.
pub(crate) async fn race_leaves_one(storage: Arc<dyn Storage>) {
    race(&storage, async |storage: Arc<dyn Storage>, n| put(&storage, &row("qcloud", n)).await).await;
    let left = find(&storage, "qcloud").await.unwrap();
    assert!((0..16).any(|n| left == row("qcloud", n)), "{left:?}");
}
