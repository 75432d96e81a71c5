//! Shared namespaces: one app each, and a base of notification ids that only grows.

use std::sync::Arc;

use pilothouse_core::account::Groups;
use pilothouse_core::config::{AppSession, Selector, SharedNamespace};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Epoch, ErrorKind};

use crate::Fixture;
use crate::race::race;
use crate::rows::{add_app, item_name};

/// A namespace is shared by one app at a time; its base and its epoch never go back.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let shared = work.shared_namespaces();
    assert!(shared.share("b", first).await.unwrap());
    assert!(shared.share("a.json", second).await.unwrap());
    for app in [first, second] {
        assert!(!shared.share("b", app).await.unwrap(), "another or the same app shares it");
    }
    let row = |name: &str, app, epoch, base| SharedNamespace {
        name: name.to_owned(),
        app,
        epoch: Epoch(epoch),
        base,
    };
    let b = row("b", Some(first), 0, 1);
    assert_eq!(shared.list().await.unwrap(), [row("a.json", Some(second), 0, 1), b.clone()]);
    assert_eq!(shared.find("b").await.unwrap(), Some(b));
    assert_eq!(shared.find("B").await.unwrap(), None);
    assert!(!shared.withdraw("b", second, Epoch(9), 5).await.unwrap(), "another app's");
    assert!(!shared.withdraw("c", first, Epoch(9), 5).await.unwrap());
    assert!(shared.withdraw("b", first, Epoch(9), 5).await.unwrap());
    assert!(!shared.withdraw("b", first, Epoch(9), 5).await.unwrap());
    assert_eq!(shared.find("b").await.unwrap(), Some(row("b", None, 9, 7)));
    assert!(shared.share("b", second).await.unwrap());
    assert!(shared.withdraw("b", second, Epoch(8), 0).await.unwrap());
    assert_eq!(shared.find("b").await.unwrap(), Some(row("b", None, 9, 9)), "the greater epoch stays");
}

/// Of many apps that share one name at once, one does.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::NONE).await;
    for n in 0..16 {
        fixture.app(&ann, &format!("app{n}")).await;
    }
    let pilothouse = fixture.pilothouse.clone();
    let won = race(&storage, move |_, n| {
        let (pilothouse, ann) = (pilothouse.clone(), ann.clone());
        async move { pilothouse.apps().share(&ann, &format!("app{n}"), "Db", true).await }
    })
    .await;
    assert_eq!(won.iter().filter(|won| won.is_ok()).count(), 1, "{won:?}");
    assert!(
        won.iter().filter_map(|won| won.as_ref().err()).all(|error| error.kind() == ErrorKind::AlreadyExists)
    );
    assert_eq!(storage.read().await.unwrap().shared_namespaces().list().await.unwrap().len(), 1);
}

/// An app that shares a namespace is not deleted; what it withdrew may be shared by another.
pub(crate) async fn goes_before_its_app(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app1").await;
    fixture.app(&ann, "app2").await;
    let apps = fixture.pilothouse.apps();
    for name in ["application", "APPLICATION.properties", ".properties"] {
        assert_eq!(
            apps.share(&ann, "app1", name, true).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "{name}"
        );
    }
    apps.share(&ann, "app1", "Db.properties", true).await.unwrap();
    apps.share(&ann, "app1", "db", true).await.unwrap();
    let taken = apps.share(&ann, "app2", "DB", true).await.unwrap_err();
    assert_eq!(taken.to_string(), "another app's shared namespace of this name already exists");
    apps.share(&ann, "app2", "db", false).await.unwrap();
    let kept = apps.delete(&ann, "app1").await.unwrap_err();
    assert_eq!(kept.to_string(), "the app still shares the namespace db");
    apps.share(&ann, "app1", "db", false).await.unwrap();
    apps.delete(&ann, "app1").await.unwrap();
    apps.share(&ann, "app2", "db", true).await.unwrap();
}

/// Another server learns of a shared namespace at its next poll, or as soon as a client knows of it; of one that was
/// withdrawn likewise.
pub(crate) async fn known_to_another_server(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let (pilothouse, other) = (&fixture.pilothouse, fixture.another_server());
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app1").await;
    fixture.app(&ann, "base").await;
    for (app, key, value) in
        [("base", "mid/a", "shared"), ("base", "mid/b", "shared"), ("app1", "mid/b", "own")]
    {
        let id = fixture.approved_item(&ann, &item_name(app, key), value).await;
        pilothouse.releases().publish(&ann, id, &Selector::default(), None).await.unwrap();
    }
    let here = pilothouse.delivery().open_unsigned("app1").await.unwrap().unwrap();
    let there = other.delivery().open_unsigned("app1").await.unwrap().unwrap();
    let changes = there.shared_namespaces().await.unwrap();
    let values = async |known: i64| {
        let share = there.namespace_share("Mid", known).await.unwrap();
        let shared = share.as_ref().and_then(|share| share.source.as_ref()).map(AppSession::snapshot);
        let snapshot = there.snapshot();
        let found = snapshot.client_namespace(shared.as_deref(), &["dev", "default"], "node", "Mid").unwrap();
        let items = found.content.items.iter();
        items.map(|(name, item)| format!("{name}={}", item.value)).collect::<Vec<_>>()
    };
    assert_eq!(values(0).await, ["b=own"]);
    pilothouse.apps().share(&ann, "base", "mid", true).await.unwrap();
    let told = here.namespace_share("mid", 0).await.unwrap().unwrap().revision;
    assert_eq!(values(0).await, ["b=own"], "the other server has not heard of it");
    assert_eq!(values(told).await, ["a=shared", "b=own"]);
    assert!(changes.has_changed().unwrap());
    pilothouse.apps().share(&ann, "base", "mid", false).await.unwrap();
    assert_eq!(values(told).await, ["a=shared", "b=own"]);
    other.delivery().poll().await.unwrap();
    assert_eq!(values(0).await, ["b=own"]);
    assert!(there.namespace_share("mid", 0).await.unwrap().unwrap().is_withdrawn);
}
