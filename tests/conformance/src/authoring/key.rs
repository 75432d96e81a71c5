//! Cases of app keys.

use std::sync::Arc;

use pilothouse_core::account::Groups;
use pilothouse_core::config::{AppId, AppKey, AppKeyId, AppRevision};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::Fixture;
use crate::race::race;
use crate::rows::{add_app, moment};

/// What clients of an app signed with before it moved.
const SECRET: &str = "df23df3f59884980844ff3dada30fa97";

fn key(app: AppId, n: u8) -> AppKey {
    AppKey {
        id: AppKeyId::UNSAVED,
        app,
        salt: [n; 32],
        digest: [!n; 32],
        encrypted: (n == 3).then(|| vec![0, n, 255]),
        create_time: moment(n.into()),
    }
}

/// Keys are found by id, app and digest, and deleted; revisions and keys of several apps are told at once.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let keys = work.app_keys();
    let a = keys.insert(&key(first, 1)).await.unwrap().unwrap();
    let b = keys.insert(&key(second, 2)).await.unwrap().unwrap();
    let c = keys.insert(&key(first, 3)).await.unwrap().unwrap();
    assert_eq!(keys.insert(&key(second, 1)).await.unwrap(), None, "a digest is one key's, of whichever app");
    let (a_row, c_row) = (AppKey { id: a, ..key(first, 1) }, AppKey { id: c, ..key(first, 3) });
    assert_eq!(keys.of_app(first).await.unwrap(), [a_row.clone(), c_row]);
    assert_eq!(keys.find(a).await.unwrap(), Some(a_row));
    assert_eq!(keys.find(AppKeyId(c.0 + 1)).await.unwrap(), None);
    assert_eq!(keys.app_by_digest(&[!2; 32]).await.unwrap(), Some(second));
    assert_eq!(keys.app_by_digest(&[2; 32]).await.unwrap(), None);
    assert_eq!(keys.ids(&[second, first]).await.unwrap(), [(first, a), (second, b), (first, c)]);
    assert_eq!(keys.ids(&[second]).await.unwrap(), [(second, b)]);
    assert_eq!(keys.ids(&[]).await.unwrap(), []);
    assert!(keys.delete(a).await.unwrap() && !keys.delete(a).await.unwrap());
    assert_eq!(keys.app_by_digest(&[!1; 32]).await.unwrap(), None);
    assert_eq!(work.apps().raise_revision(second).await.unwrap(), Some(1));
    let revisions = work.apps().revisions(&[second, AppId(second.0 + 1), first]).await.unwrap();
    let epoch = work.store_identity().identity().await.unwrap().epoch;
    let of = |app, number| AppRevision { app, epoch, number };
    assert_eq!(revisions, [of(first, 0), of(second, 1)]);
    assert!(work.apps().delete(first).await.unwrap());
    assert_eq!(work.app_keys().find(c).await.unwrap(), None, "keys go with their app");
}

/// Of many apps that take over one secret at once, one does.
pub(crate) async fn race_for_one_secret(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::NONE).await;
    for n in 0..16 {
        fixture.app(&ann, &format!("app{n}")).await;
    }
    let pilothouse = fixture.pilothouse.clone();
    let won = race(&storage, move |_, n| {
        let (pilothouse, ann) = (pilothouse.clone(), ann.clone());
        async move { pilothouse.app_keys().bring(&ann, &format!("app{n}"), SECRET).await.map(drop) }
    })
    .await;
    assert_eq!(won.iter().filter(|won| won.is_ok()).count(), 1, "{won:?}");
    let mut refused = won.into_iter().filter_map(Result::err).map(|error| error.kind());
    assert!(refused.all(|kind| kind == ErrorKind::AlreadyExists));
}

/// A secret that was brought along opens its app, by itself and by a signature, until it is deleted; it is kept encrypted.
pub(crate) async fn brought(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let (pilothouse, other) = (&fixture.pilothouse, fixture.another_server());
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app1").await;
    fixture.app(&ann, "app2").await;
    let keys = pilothouse.app_keys();
    let made = keys.bring(&ann, "app1", SECRET).await.unwrap();
    assert_eq!(made.text, SECRET);
    for server in [pilothouse, &other] {
        let delivery = server.delivery();
        assert!(delivery.open("app1", SECRET).await.is_ok());
        assert_eq!(delivery.open("app2", SECRET).await.unwrap_err().kind(), ErrorKind::Forbidden);
        assert!(delivery.open_signed("app1", |key| key == SECRET).await.is_ok());
        assert!(delivery.open_signed("app2", |key| key == SECRET).await.is_err());
    }
    let generated = keys.create(&ann, "app2").await.unwrap().text;
    for (app, taken) in [("app1", SECRET), ("app2", SECRET), ("app1", &*generated), ("app2", &*generated)] {
        let again = keys.bring(&ann, app, taken).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{app}");
        assert!(!again.to_string().contains(taken));
    }
    let kept = storage.read().await.unwrap().app_keys().find(made.id).await.unwrap().unwrap();
    let digest: [u8; 32] = Sha256::digest(SECRET).into();
    assert_ne!(kept.digest, digest, "a secret that can be guessed must not be confirmed by the store alone");
    let encrypted = kept.encrypted.unwrap();
    assert!(!encrypted.windows(8).any(|part| SECRET.as_bytes().windows(8).any(|secret| secret == part)));
    for (bad, why) in [
        ("fifteen-letters", "secret: must be at least 16 bytes"),
        (&*"x".repeat(129), "secret: must be at most 128 bytes, not 129"),
        ("with blanks in its middle", "secret: may hold only printable ASCII without blanks"),
        ("mit-umlaut-\u{e4}-und-mehr", "secret: may hold only printable ASCII without blanks"),
    ] {
        assert_eq!(keys.bring(&ann, "app1", bad).await.unwrap_err().to_string(), why);
    }
    keys.delete(&ann, made.id).await.unwrap();
    assert_eq!(other.delivery().poll().await.map_err(|error| error.kind()), Ok(()));
    for server in [pilothouse, &other] {
        assert!(server.delivery().open("app1", SECRET).await.is_err());
        assert!(server.delivery().open_signed("app1", |key| key == SECRET).await.is_err());
    }
    keys.bring(&ann, "app2", SECRET).await.unwrap();
}
