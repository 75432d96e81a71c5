//! Domains that providers serve: lists that are replaced as a whole.

use std::sync::Arc;

use pilothouse_core::cdn::CdnId;
use pilothouse_core::ports::{LockKey, ServedDomain, Storage};

use crate::race::race;
use crate::rows::AWKWARD;

fn served(domain: &str, group: &str) -> ServedDomain {
    ServedDomain { domain: domain.into(), group: group.into(), service: AWKWARD.into() }
}

async fn put(storage: &Arc<dyn Storage>, cdn: i64, list: &[ServedDomain]) {
    let mut work = storage.begin().await.unwrap();
    work.lock(LockKey::Cdns).await.unwrap();
    work.cdn_services().replace(CdnId(cdn), list).await.unwrap();
    work.commit().await.unwrap();
}

async fn list(storage: &Arc<dyn Storage>, cdn: i64) -> Vec<ServedDomain> {
    storage.read().await.unwrap().cdn_services().of_cdn(CdnId(cdn)).await.unwrap()
}

/// A list takes the place of the one before, and is in the order of the names byte by byte.
pub(crate) async fn replace(storage: Arc<dyn Storage>) {
    assert_eq!(list(&storage, 1).await, []);
    put(&storage, 1, &[served("b.test", "1"), served("a-b.test", "2"), served("ab.test", "")]).await;
    put(&storage, 2, &[served("b.test", "3")]).await;
    let ordered = [served("a-b.test", "2"), served("ab.test", ""), served("b.test", "1")];
    assert_eq!(list(&storage, 1).await, ordered);
    put(&storage, 1, &[served("c.test", "4"), served("b.test", "5")]).await;
    assert_eq!(list(&storage, 1).await, [served("b.test", "5"), served("c.test", "4")]);
    put(&storage, 1, &[]).await;
    assert_eq!((list(&storage, 1).await, list(&storage, 2).await), (vec![], vec![served("b.test", "3")]));
}

/// 16 who replace a list side by side leave one of theirs.
pub(crate) async fn race_leaves_one_list(storage: Arc<dyn Storage>) {
    let of = |n: i64| [served("a.test", &n.to_string()), served("b.test", &n.to_string())];
    race(&storage, async |storage: Arc<dyn Storage>, n| {
        let of = [served("a.test", &n.to_string()), served("b.test", &n.to_string())];
        put(&storage, 1, &of).await;
    })
    .await;
    let left = list(&storage, 1).await;
    assert!((0..16).any(|n| left == of(n)), "{left:?}");
}
