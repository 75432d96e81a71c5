//! Batches of vendors: rows that are added once, replaced and forgotten.

use std::sync::Arc;

use pilothouse_core::cdn::{BatchItem, BatchState, VendorBatch};
use pilothouse_core::ports::{Operation, Storage};

use crate::race::race;
use crate::rows::{AWKWARD, moment};

/// A batch told apart by `n`, accepted at [`moment`] `n`.
fn vendor_batch(n: i64) -> VendorBatch {
    VendorBatch {
        id: format!("batch-{n}"),
        cdn: "qcloud".into(),
        operation: if n % 2 == 0 { Operation::PurgeUrls } else { Operation::Preload },
        group: AWKWARD.into(),
        state: BatchState::Waiting,
        accepted_at: moment(n),
        due: moment(n + 1),
        tries: n,
        items: vec![
            BatchItem::new("http://cdn.exrqs.com/更新/%7C🚀?a='\"\\"),
            BatchItem {
                url: "http://cdn.exrqs.com/*".into(),
                task: "1785000000-a task".into(),
                percent: 37,
                failures: 2,
            },
        ],
        jobs: vec![format!("refresh-{n}"), "refresh-0".into()],
    }
}

async fn add(storage: &Arc<dyn Storage>, batches: &[VendorBatch]) {
    let mut work = storage.begin().await.unwrap();
    for batch in batches {
        assert!(work.vendor_batches().insert(batch).await.unwrap());
    }
    work.commit().await.unwrap();
}

async fn list(storage: &Arc<dyn Storage>, cdn: &str) -> Vec<VendorBatch> {
    storage.read().await.unwrap().vendor_batches().list(cdn).await.unwrap()
}

/// A batch is read back as it was added, and then as it was replaced, but of its cdn; what is removed is gone.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let batch = vendor_batch(1);
    add(&storage, &[batch.clone(), vendor_batch(2)]).await;
    assert_eq!(list(&storage, "qcloud").await, [batch.clone(), vendor_batch(2)]);
    let next = VendorBatch {
        id: batch.id.clone(),
        cdn: "other".into(),
        state: BatchState::Running,
        group: String::new(),
        items: vec![BatchItem::new("http://cdn.exrqs.com/")],
        jobs: vec!["refresh-9".into()],
        ..vendor_batch(4)
    };
    let mut work = storage.begin().await.unwrap();
    assert!(work.vendor_batches().update(&next).await.unwrap());
    assert!(!work.vendor_batches().update(&vendor_batch(3)).await.unwrap());
    work.commit().await.unwrap();
    let next = VendorBatch { cdn: "qcloud".into(), ..next };
    assert_eq!(list(&storage, "qcloud").await, [vendor_batch(2), next]);
    let mut work = storage.begin().await.unwrap();
    assert!(work.vendor_batches().remove(&batch.id).await.unwrap());
    assert!(!work.vendor_batches().remove(&batch.id).await.unwrap());
    work.commit().await.unwrap();
    assert_eq!(list(&storage, "qcloud").await, [vendor_batch(2)]);
}

/// A second batch of an id is refused, also of another cdn, and the first stays as it is.
pub(crate) async fn an_id_is_used_once(storage: Arc<dyn Storage>) {
    add(&storage, &[vendor_batch(1)]).await;
    let mut work = storage.begin().await.unwrap();
    let again = VendorBatch { id: vendor_batch(1).id, cdn: "other".into(), ..vendor_batch(2) };
    assert!(!work.vendor_batches().insert(&again).await.unwrap());
    work.commit().await.unwrap();
    assert_eq!(list(&storage, "qcloud").await, [vendor_batch(1)]);
    assert!(list(&storage, "other").await.is_empty());
}

/// Lists are of one cdn, by acceptance and then by id.
pub(crate) async fn list_is_of_one_cdn_in_order(storage: Arc<dyn Storage>) {
    let same_time = |id: &str| VendorBatch { id: id.into(), ..vendor_batch(5) };
    let other = VendorBatch { cdn: "other".into(), ..vendor_batch(7) };
    add(&storage, &[vendor_batch(9), same_time("b"), same_time("a"), vendor_batch(3), other.clone()]).await;
    let expected = [vendor_batch(3), same_time("a"), same_time("b"), vendor_batch(9)];
    assert_eq!(list(&storage, "qcloud").await, expected);
    assert_eq!(list(&storage, "other").await, [other]);
}

/// Of 16 who add a batch of the same id side by side, one does.
pub(crate) async fn race_inserts_once(storage: Arc<dyn Storage>) {
    let added = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let added = work.vendor_batches().insert(&vendor_batch(1)).await.unwrap();
        work.commit().await.unwrap();
        added
    })
    .await;
    assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
    assert_eq!(list(&storage, "qcloud").await, [vendor_batch(1)]);
}
