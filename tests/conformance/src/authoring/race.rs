//! Races of authoring use cases, each of which would go wrong on a store whose locks do nothing.

use std::sync::Arc;

use pilothouse_core::ErrorKind;
use pilothouse_core::account::Groups;
use pilothouse_core::config::{Content, NewApp, NewGrant, Permission};
use pilothouse_core::ports::Storage;

use crate::Fixture;
use crate::race::{ROUNDS, both, kind};
use crate::rows::item_name;

/// Two admins who demote or remove each other at once: one stays.
pub(crate) async fn last_admin_stays(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let (ann, bob) = (fixture.account("ann", Groups::NONE).await, fixture.account("bob", Groups::NONE).await);
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        fixture.app(&ann, &app).await;
        fixture.grant(&ann, &app, &bob, Permission::Manage).await;
        let grants = pilothouse.grants().list(&ann, &app).await.unwrap();
        let (of_ann, of_bob) = (grants[0].id, grants[1].id);
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_ann, by_bob) = (ann.clone(), bob.clone());
        let _ = both(async move { one.grants().delete(&by_ann, of_bob).await }, async move {
            other.grants().update(&by_bob, of_ann, Permission::Develop).await
        })
        .await;
        let id = storage.read().await.unwrap().apps().by_name(&app).await.unwrap().unwrap().id;
        let left = storage.read().await.unwrap().grants().list(Some(id)).await.unwrap();
        assert!(left.iter().any(|grant| grant.permission == Permission::Manage), "round {round}: {left:?}");
    }
}

/// An app is deleted and gets a config at once: one of both.
pub(crate) async fn deleted_app_gets_no_item(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let ann = fixture.account("ann", Groups::NONE).await;
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        fixture.app(&ann, &app).await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_one, by_other, gone, name) = (ann.clone(), ann.clone(), app.clone(), item_name(&app, "k"));
        let (deleted, created) = both(async move { one.apps().delete(&by_one, &gone).await }, async move {
            other.items().create(&by_other, &name, Content::default()).await
        })
        .await;
        assert!(deleted.is_ok() != created.is_ok(), "round {round}: {deleted:?} {created:?}");
    }
}

/// An app is deleted and a grant on it given at once: the grant goes too, or is refused.
pub(crate) async fn deleted_app_gets_no_grant(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let (ann, bob) = (fixture.account("ann", Groups::NONE).await, fixture.account("bob", Groups::NONE).await);
    for round in 0..ROUNDS {
        let app = format!("app{round}");
        fixture.app(&ann, &app).await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_one, by_other, gone) = (ann.clone(), ann.clone(), app.clone());
        let new = NewGrant {
            app,
            profile: None,
            account: bob.id,
            uname: String::new(),
            permission: Permission::Develop,
        };
        let (deleted, given) = both(async move { one.apps().delete(&by_one, &gone).await }, async move {
            other.grants().create(&by_other, new).await
        })
        .await;
        assert!(deleted.is_ok() && matches!(kind(&given), None | Some(ErrorKind::Forbidden)), "{given:?}");
    }
}

/// An account is deleted and creates an app at once: it is its admin for a moment, or is told that it is gone.
pub(crate) async fn deleted_account_creates_no_app(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let ann = fixture.account("ann", Groups::all()).await;
    for round in 1..=ROUNDS {
        let bob = fixture.account(&format!("bob{round}"), Groups::NONE).await;
        let new = NewApp { app: format!("app{round}"), app_type: 0, name: "n".into(), charger: "c".into() };
        let (one, other, by, gone) = (pilothouse.clone(), pilothouse.clone(), ann.clone(), bob.name.clone());
        let (deleted, created) = both(async move { one.accounts().delete(&by, &gone).await }, async move {
            other.apps().create(&bob, new).await
        })
        .await;
        assert!(deleted.is_ok() && matches!(kind(&created), None | Some(ErrorKind::NotFound)), "{created:?}");
    }
}
