//! App sessions: the app keys that open them, and their end.

use std::time::Duration;

use futures_util::FutureExt;
use pilothouse_conformance::Fixture;
use pilothouse_conformance::doubles::FaultyStorage;
use pilothouse_core::ErrorKind;
use pilothouse_core::config::NewApp;
use tokio::time::timeout;

use super::fixture::{DeliveryFixture, new_node};

#[tokio::test]
async fn an_app_key_opens_sessions_of_its_own_app_only() {
    let fixture = DeliveryFixture::new().await;
    let keys = fixture.pilothouse.app_keys();
    let new = NewApp { app: "other".into(), app_type: 0, name: "n".into(), charger: "c".into() };
    fixture.pilothouse.apps().create(&fixture.owner, new).await.unwrap();
    let delivery = fixture.pilothouse.delivery();
    let kind =
        async |app: &str, key: &str| delivery.open(app, key).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind("app", &fixture.key).await, Ok(()));
    assert_eq!(kind("other", &fixture.key).await, Err(ErrorKind::Forbidden));
    assert_eq!(kind("nowhere", &fixture.key).await, Err(ErrorKind::Forbidden));
    assert_eq!(kind("app", "x").await, Err(ErrorKind::Unauthenticated));
    assert_eq!(kind("app", &fixture.key.to_uppercase()).await, Err(ErrorKind::Unauthenticated));

    let second = keys.create(&fixture.owner, "app").await.unwrap();
    assert_ne!(second.text, fixture.key);
    let listed = keys.list(&fixture.owner, "app").await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(!format!("{listed:?}").contains(&second.text));
    assert_eq!(kind("app", &second.text).await, Ok(()), "an app may have several keys");
    // Apollo clients do not send their key but a signature made with it.
    let signed = |key: &str| key == second.text;
    assert!(delivery.open_signed("app", signed).await.is_ok());
    assert!(delivery.open_signed("app", |_| false).await.is_err());
    assert!(
        delivery.open_signed("other", |_| true).await.is_err(),
        "an app without keys has nobody who could sign"
    );
    keys.delete(&fixture.owner, listed[0].id).await.unwrap();
    assert_eq!(kind("app", &fixture.key).await, Err(ErrorKind::Unauthenticated));
    assert_eq!(kind("app", &second.text).await, Ok(()));
    assert_eq!(keys.delete(&fixture.owner, listed[0].id).await.unwrap_err().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn deletion_of_an_app_ends_its_watches_and_sessions() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    let session = fixture.session().await;
    let mut watch = fixture.watch("11", 0).await;
    fixture.pilothouse.apps().delete(&fixture.owner, "app").await.unwrap();
    assert!(timeout(Duration::from_mins(1), watch.next()).await.unwrap().is_none());
    // With the app went the key that opened the session.
    assert_eq!(session.register(new_node("11")).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let refused = fixture.pilothouse.delivery().open("app", &fixture.key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_key_opens_its_app_however_long_the_app_was_being_read_when_it_was_made() {
    let fixture = DeliveryFixture::new().await;
    let faulty = FaultyStorage::new(fixture.storage.clone());
    let settings = fixture.pilothouse.settings().clone();
    let other = Fixture::builder(faulty.clone()).clock(fixture.clock.clone()).settings(settings).build();
    let delivery = other.pilothouse.delivery();
    for signs in [false, true] {
        faulty.hold_snapshots(true);
        let mut first = Box::pin(delivery.open_unsigned("app"));
        assert!((&mut first).now_or_never().is_none(), "it waits for its snapshot");
        let key = fixture.pilothouse.app_keys().create(&fixture.owner, "app").await.unwrap().text;
        let second = async {
            if signs {
                delivery.open_signed("app", |known| known == key).await
            } else {
                delivery.open("app", &key).await
            }
        };
        let mut second = Box::pin(second);
        assert!((&mut second).now_or_never().is_none(), "it waits for the first");
        faulty.hold_snapshots(false);
        assert!(first.await.unwrap().is_some());
        second.await.unwrap();
        // The next round reads the app anew.
        delivery.end_watches();
    }
}

#[tokio::test]
async fn a_node_registers_with_an_app_that_was_created_again_with_its_key() {
    let fixture = DeliveryFixture::new().await;
    let (apps, keys) = (fixture.pilothouse.apps(), fixture.pilothouse.app_keys());
    let secret = "brought-along-by-clients";
    keys.bring(&fixture.owner, "app", secret).await.unwrap();
    let other = fixture.server();
    let before = other.delivery().open("app", secret).await.unwrap();
    before.register(new_node("11")).await.unwrap();
    apps.delete(&fixture.owner, "app").await.unwrap();
    let new = NewApp { app: "app".into(), app_type: 0, name: "n".into(), charger: "c".into() };
    apps.create(&fixture.owner, new).await.unwrap();
    keys.bring(&fixture.owner, "app", secret).await.unwrap();
    // The other server was not told of any of it.
    let session = other.delivery().open("app", secret).await.unwrap();
    assert_eq!(session.app(), before.app(), "what it holds is of the former app");
    let registered = session.register(new_node("12")).await.unwrap();
    let now = other.delivery().open("app", secret).await.unwrap();
    assert_ne!(now.app(), before.app());
    assert_eq!(registered.revision, now.snapshot().revision());
    assert_eq!(fixture.online(&other).await, ["12"], "no node of the former app is one of this");
}
