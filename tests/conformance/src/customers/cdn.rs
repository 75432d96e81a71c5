//! Cdns: unique names, renaming.

use std::sync::Arc;

use pilothouse_core::cdn::{Cdn, CdnId};
use pilothouse_core::ports::Storage;

use crate::race::race;

/// Adds a cdn of this name.
pub async fn add_cdn(storage: &Arc<dyn Storage>, name: &str) -> CdnId {
    let mut work = storage.begin().await.unwrap();
    let id = work.cdns().insert(name).await.unwrap().unwrap();
    work.commit().await.unwrap();
    id
}

/// Cdns are added, found, listed and renamed; a taken name is refused without spoiling the transaction.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    let cdns = work.cdns();
    let first = Cdn { id: cdns.insert("level3").await.unwrap().unwrap(), name: "level3".into() };
    let second = Cdn { id: cdns.insert("qcloud").await.unwrap().unwrap(), name: "qcloud".into() };
    assert_eq!(cdns.insert("level3").await.unwrap(), None);
    assert_eq!(cdns.by_id(first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(cdns.by_name("qcloud").await.unwrap().as_ref(), Some(&second));
    assert_eq!(cdns.by_name("Qcloud").await.unwrap(), None);
    assert_eq!(cdns.list().await.unwrap(), [first.clone(), second.clone()]);

    assert!(!cdns.rename(&Cdn { name: "level3".into(), ..second.clone() }).await.unwrap(), "a taken name");
    assert!(
        !cdns.rename(&Cdn { id: CdnId(second.id.0 + 1), name: "new".into() }).await.unwrap(),
        "no such cdn"
    );
    let renamed = Cdn { name: "Qcloud".into(), ..second };
    assert!(cdns.rename(&renamed).await.unwrap());
    assert!(cdns.rename(&renamed).await.unwrap(), "its own name is free to it");
    assert_eq!(cdns.list().await.unwrap(), [first, renamed]);
    work.commit().await.unwrap();
}

/// Of many that want one name at once, one gets it.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let id = work.cdns().insert("level3").await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(storage.read().await.unwrap().cdns().list().await.unwrap().len(), 1);
}
