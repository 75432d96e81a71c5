//! Looks at vendors' logs, and the files of them that were fetched.

use std::sync::Arc;

use pilothouse_core::cdn::{CdnId, DomainId, VendorLogFile, VendorLogPull};
use pilothouse_core::ports::{LockKey, Storage};

use crate::race::race;
use crate::rows::{AWKWARD, moment};

fn pull(cdn: i64, domain: &str, n: i64) -> VendorLogPull {
    VendorLogPull {
        cdn_id: CdnId(cdn),
        domain: domain.into(),
        domain_id: DomainId(n),
        since: moment(n),
        pulled_at: moment(n + 1),
    }
}

fn file(cdn: i64, domain: &str, name: &str, n: i64) -> VendorLogFile {
    VendorLogFile { cdn_id: CdnId(cdn), domain: domain.into(), name: name.into(), from: moment(n) }
}

async fn put(storage: &Arc<dyn Storage>, pull: &VendorLogPull) {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    work.vendor_logs().put(pull).await.unwrap();
    work.commit().await.unwrap();
}

async fn insert(storage: &Arc<dyn Storage>, file: &VendorLogFile) -> bool {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    let is_new = work.vendor_logs().insert(file).await.unwrap();
    work.commit().await.unwrap();
    is_new
}

async fn names(storage: &Arc<dyn Storage>, cdn: i64, domain: &str) -> Vec<String> {
    let mut snapshot = storage.read().await.unwrap();
    let mut names = snapshot.vendor_logs().names(CdnId(cdn), domain).await.unwrap();
    names.sort_unstable();
    names
}

/// A row per cdn and domain is found as it was put last.
pub(crate) async fn put_replaces(storage: Arc<dyn Storage>) {
    for row in [pull(1, "ab.test", 1), pull(1, "a-b.test", 2), pull(2, "a.test", 3), pull(1, "ab.test", 4)] {
        put(&storage, &row).await;
    }
    let mut snapshot = storage.read().await.unwrap();
    let rows = snapshot.vendor_logs().of_cdn(CdnId(1)).await.unwrap();
    assert_eq!(rows, [pull(1, "a-b.test", 2), pull(1, "ab.test", 4)]);
    assert_eq!(snapshot.vendor_logs().of_cdn(CdnId(2)).await.unwrap(), [pull(2, "a.test", 3)]);
    assert_eq!(snapshot.vendor_logs().of_cdn(CdnId(3)).await.unwrap(), []);
}

/// A file is new once for its cdn, domain and name, until its time is forgotten.
pub(crate) async fn files_are_remembered(storage: Arc<dyn Storage>) {
    for one in [file(1, "a.test", AWKWARD, 1), file(1, "a.test", "2.gz", 2), file(1, "b.test", "2.gz", 3)] {
        assert!(insert(&storage, &one).await, "{one:?}");
        assert!(!insert(&storage, &VendorLogFile { from: moment(9), ..one.clone() }).await, "{one:?}");
    }
    assert!(insert(&storage, &file(2, "a.test", "2.gz", 4)).await);
    assert_eq!(names(&storage, 1, "a.test").await, ["2.gz", AWKWARD]);
    assert_eq!(names(&storage, 2, "b.test").await, [""; 0]);
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    assert_eq!(work.vendor_logs().forget(moment(2)).await.unwrap(), 1);
    work.commit().await.unwrap();
    assert_eq!(names(&storage, 1, "a.test").await, ["2.gz"]);
    assert!(insert(&storage, &file(1, "a.test", AWKWARD, 1)).await);
}

/// Of 16 who fetched a file side by side, one has it.
pub(crate) async fn race_inserts_once(storage: Arc<dyn Storage>) {
    let fetched = race(&storage, async |storage: Arc<dyn Storage>, n| {
        insert(&storage, &file(1, "a.test", "1.gz", n)).await
    })
    .await;
    assert_eq!(fetched.into_iter().filter(|is_new| *is_new).count(), 1);
}
