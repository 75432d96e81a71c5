//! Identity: an id of its own, an epoch that only grows, and the check value of one secret.

use std::sync::Arc;

use pilothouse_core::Epoch;
use pilothouse_core::ports::Storage;

use crate::race::race;
use crate::rows::{add_app, moment};

/// A new store has an id, an epoch, and no secret; both are the same in every transaction.
pub(crate) async fn is_there_from_the_beginning(storage: Arc<dyn Storage>) {
    let identity = storage.read().await.unwrap().store_identity().identity().await.unwrap();
    assert!(identity.id.len() == 32 && identity.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    assert!(identity.epoch > Epoch(0));
    assert_eq!((identity.renewed, identity.secret_check), (None, None));
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.store_identity().identity().await.unwrap(), identity);
}

/// A renewal reaches the store and every app, keeps their revisions, and never goes back.
pub(crate) async fn renewal_reaches_every_app(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    work.apps().raise_revision(first).await.unwrap();
    let old = work.store_identity().identity().await.unwrap().epoch;
    let new = Epoch(old.0 + 3);
    assert!(work.store_identity().renew_epoch(new, moment(5)).await.unwrap());
    assert!(!work.store_identity().renew_epoch(new, moment(6)).await.unwrap(), "it is not greater");
    assert!(!work.store_identity().renew_epoch(old, moment(6)).await.unwrap(), "it is smaller");
    work.commit().await.unwrap();
    let third = add_app(&storage, 3).await;
    let mut snapshot = storage.read().await.unwrap();
    let identity = snapshot.store_identity().identity().await.unwrap();
    assert_eq!((identity.epoch, identity.renewed), (new, Some(moment(5))));
    let apps = snapshot.apps().revisions(&[first, second, third]).await.unwrap();
    let found: Vec<_> = apps.iter().map(|app| (app.epoch, app.number)).collect();
    assert_eq!(found, [(new, 1), (new, 0), (new, 0)]);
}

/// Of many servers with different secrets one sets the check value, which stays.
pub(crate) async fn race_for_one_secret(storage: Arc<dyn Storage>) {
    let set = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let check = [u8::try_from(n).unwrap(); 32];
        let mut work = storage.begin().await.unwrap();
        let is_first = work.store_identity().set_secret_check(check).await.unwrap();
        work.commit().await.unwrap();
        is_first.then_some(check)
    })
    .await;
    let won: Vec<_> = set.into_iter().flatten().collect();
    let identity = storage.read().await.unwrap().store_identity().identity().await.unwrap();
    assert_eq!(won, [identity.secret_check.unwrap()]);
}

/// Of many folders of blobs one is recorded, which stays.
pub(crate) async fn race_for_one_blob_folder(storage: Arc<dyn Storage>) {
    assert_eq!(storage.read().await.unwrap().store_identity().blob_folder().await.unwrap(), None);
    let set = race(&storage, async |storage: Arc<dyn Storage>, n| {
        let mut work = storage.begin().await.unwrap();
        let is_first = work.store_identity().set_blob_folder(&n.to_string()).await.unwrap();
        work.commit().await.unwrap();
        is_first.then(|| n.to_string())
    })
    .await;
    let won: Vec<_> = set.into_iter().flatten().collect();
    let folder = storage.read().await.unwrap().store_identity().blob_folder().await.unwrap();
    assert_eq!(won, [folder.unwrap()]);
}
