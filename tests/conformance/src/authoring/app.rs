//! Apps: unique names, revisions without gaps, locks, deletion with all that belongs to them.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_core::account::{Caller, Groups};
use pilothouse_core::config::{App, AppCounts, AppId, HistoryPage, NewApp, Node, Permission};
use pilothouse_core::ports::{LockKey, Storage};
use pilothouse_core::{Epoch, ErrorKind, Settings};

use super::grant::{grant, profile_grant};
use super::item::version;
use crate::Fixture;
use crate::delivery::node::node;
use crate::delivery::release::{grey, release};
use crate::race::race;
use crate::rows::{AWKWARD, add_account, add_item, moment};

/// An app told apart by `n`.
pub fn app(n: i64) -> App {
    App {
        id: AppId::UNSAVED,
        app: format!("app{n}"),
        app_type: 9,
        name: AWKWARD.into(),
        charger: "负责人".into(),
        create_time: moment(n),
        epoch: Epoch::default(),
        revision: 0,
    }
}

/// Adds [`app`] `n`.
pub async fn add_app(storage: &Arc<dyn Storage>, n: i64) -> AppId {
    let mut work = storage.begin().await.unwrap();
    let id = work.apps().insert(&app(n)).await.unwrap().unwrap();
    work.commit().await.unwrap();
    id
}

/// Counts of an app are of what is there now, and of no other app.
pub(crate) async fn counts(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (published, draft) = (add_item(&storage, first, "a").await, add_item(&storage, first, "b").await);
    let mut work = storage.begin().await.unwrap();
    let (gone, _) = work.items().insert(first, "gone", "c", &version(1)).await.unwrap().unwrap();
    assert!(work.items().delete(gone, 1, None).await.unwrap());
    work.items().insert(first, "prod", "a", &version(1)).await.unwrap();
    assert!(work.items().publish(published, 1, 1).await.unwrap());
    assert!(work.items().publish(draft, 1, 2).await.unwrap());
    assert!(work.items().amend(draft, &version(2)).await.unwrap());
    work.releases().insert(&release(published, 1)).await.unwrap();
    work.releases().insert(&grey(draft, 2)).await.unwrap();
    let now = work.now().await.unwrap();
    let lease = |seconds| now + TimeDelta::seconds(seconds);
    for (n, until) in [(1, lease(10)), (2, lease(-10)), (3, lease(10))] {
        let node = Node { lease_until: until, ..node(first, n) };
        work.nodes().register(&node).await.unwrap();
    }
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let counts = snapshot.apps().counts(&[second, first, AppId(second.0 + 1)], now).await.unwrap();
    let empty = AppCounts { app: second, profiles: 0, items: 0, drafts: 0, grey: 0, online: 0 };
    let full = AppCounts { app: first, profiles: 2, items: 3, drafts: 2, grey: 1, online: 2 };
    assert_eq!(counts, [full, empty]);
    assert_eq!(snapshot.apps().counts(&[], now).await.unwrap(), []);
}

/// Apps are added, found, listed, changed and deleted; a revision does not come from outside.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.apps().insert(&app(2)).await.unwrap(), None, "the name is taken");
    let epoch = work.store_identity().identity().await.unwrap().epoch;
    let expected = App { id: first, epoch, ..app(1) };
    assert_eq!(work.apps().by_id(first).await.unwrap(), Some(expected.clone()));
    assert_eq!(work.apps().by_name("app1").await.unwrap(), Some(expected));
    assert_eq!(work.apps().by_name("APP1").await.unwrap(), None);
    let changed = App {
        id: first,
        app_type: 0,
        name: "新".into(),
        charger: "dyf".into(),
        epoch,
        revision: 7,
        ..app(1)
    };
    assert!(work.apps().update(&changed).await.unwrap());
    assert!(!work.apps().update(&App { id: AppId(second.0 + 1), ..app(1) }).await.unwrap());
    assert_eq!(work.apps().by_id(first).await.unwrap(), Some(App { revision: 0, ..changed }));
    assert_eq!(work.apps().by_id(second).await.unwrap(), Some(App { id: second, epoch, ..app(2) }));
    assert!(work.apps().delete(second).await.unwrap());
    assert!(!work.apps().delete(second).await.unwrap());
    assert_eq!(work.apps().by_id(second).await.unwrap(), None);
}

/// Of many that want one name at once, one gets it.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let id = work.apps().insert(&app(1)).await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// A revision grows by one a time, per app.
pub(crate) async fn revision_grows(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.apps().raise_revision(first).await.unwrap(), Some(1));
    assert_eq!(work.apps().raise_revision(first).await.unwrap(), Some(2));
    assert_eq!(work.apps().raise_revision(second).await.unwrap(), Some(1));
    assert_eq!(work.apps().raise_revision(AppId(second.0 + 1)).await.unwrap(), None);
    assert_eq!(work.apps().by_id(first).await.unwrap().unwrap().revision, 2);
}

/// Revisions of transactions at once have no gaps, also when some are rolled back, and none becomes visible before
/// the one below it.
pub(crate) async fn race_for_revisions(storage: Arc<dyn Storage>) {
    let id = add_app(&storage, 1).await;
    let raised = race(&storage, move |storage: Arc<dyn Storage>, n| async move {
        let mut work = storage.begin().await.unwrap();
        let revision = work.apps().raise_revision(id).await.unwrap().unwrap();
        let seen = storage.read().await.unwrap().apps().by_id(id).await.unwrap().unwrap().revision;
        assert_eq!(seen, revision - 1, "what is below is committed, what is not committed is not seen");
        if n % 4 == 0 {
            work.rollback().await.unwrap();
            return None;
        }
        work.commit().await.unwrap();
        Some(revision)
    })
    .await;
    let mut raised: Vec<i64> = raised.into_iter().flatten().collect();
    raised.sort_unstable();
    assert_eq!(raised, (1..=12).collect::<Vec<_>>());
}

/// An app's lock excludes those who take the same one; one transaction may hold several.
pub(crate) async fn lock_serialises(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    race(&storage, move |storage: Arc<dyn Storage>, n| async move {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::App(first)).await.unwrap();
        work.lock(LockKey::App(second)).await.unwrap();
        if work.items().list(first, "dev").await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            work.items().insert(first, "dev", &format!("k{n}"), &version(1)).await.unwrap();
        }
        work.commit().await.unwrap();
    })
    .await;
    let items = storage.read().await.unwrap().items().list(first, "dev").await.unwrap();
    assert_eq!(items.len(), 1, "only the first found the app empty");
}

/// Nothing of a deleted app is left, and one of the same name starts anew.
pub(crate) async fn delete_takes_everything(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let (gone, stays) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (item, kept) = (add_item(&storage, gone, "k").await, add_item(&storage, stays, "k").await);
    let mut work = storage.begin().await.unwrap();
    for (app, item) in [(gone, item), (stays, kept)] {
        for grant in
            [grant(owner, Some(app), Permission::Manage), profile_grant(owner, app, "dev", Permission::Read)]
        {
            work.grants().insert(&grant).await.unwrap();
        }
        work.releases().insert(&release(item, 1)).await.unwrap();
    }
    work.apps().raise_revision(gone).await.unwrap();
    let before = work.apps().by_id(gone).await.unwrap().unwrap().epoch;
    assert!(work.apps().delete(gone).await.unwrap());
    let again = work.apps().insert(&app(1)).await.unwrap().unwrap();
    work.commit().await.unwrap();

    assert_ne!(again, gone);
    let mut snapshot = storage.read().await.unwrap();
    let mut found = Vec::new();
    for app in [again, stays] {
        found.push(snapshot.apps().by_id(app).await.unwrap().unwrap().epoch);
    }
    assert_eq!(found, [Epoch(before.0 + 1), before], "no revision of the old app is one of the new");
    for app in [gone, again] {
        assert_eq!(snapshot.grants().list(Some(app)).await.unwrap(), []);
        assert_eq!(snapshot.grants().held(owner, Some(app)).await.unwrap(), []);
        assert_eq!(snapshot.items().history(&HistoryPage::whole(app, "dev", "k")).await.unwrap(), []);
    }
    assert_eq!(snapshot.items().app_of(item).await.unwrap(), None);
    assert_eq!(snapshot.releases().active(item).await.unwrap(), []);
    assert_eq!(snapshot.grants().list(Some(stays)).await.unwrap().len(), 2);
    assert_eq!(snapshot.items().list(stays, "dev").await.unwrap().len(), 1);
    assert_eq!(snapshot.releases().active(kept).await.unwrap().len(), 1);
}

/// An account that has grants on as many apps as it may creates no other, until one goes. A grant on `all` lifts that.
pub(crate) async fn most_of_an_account(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_apps_per_account(2);
    let fixture = Fixture::builder(storage.clone()).settings(settings).build();
    let (ann, bob) = (fixture.account("ann", Groups::NONE).await, fixture.account("bob", Groups::NONE).await);
    let apps = fixture.pilothouse.apps();
    let create = async |by: &Caller, app: &str| {
        let new = NewApp { app: app.to_owned(), app_type: 0, name: "n".to_owned(), charger: "c".to_owned() };
        apps.create(by, new).await.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(create(&ann, "a1").await, Ok(()));
    assert_eq!(create(&bob, "b1").await, Ok(()));
    fixture.grant(&bob, "b1", &ann, Permission::Develop).await;
    assert_eq!(create(&ann, "a2").await, Err(ErrorKind::Conflict));
    apps.delete(&ann, "a1").await.unwrap();
    assert_eq!(create(&ann, "a2").await, Ok(()));
    assert_eq!(create(&ann, "a3").await, Err(ErrorKind::Conflict));
    let mut work = storage.begin().await.unwrap();
    assert!(work.grants().insert(&grant(ann.id, None, Permission::Manage)).await.unwrap().is_some());
    work.commit().await.unwrap();
    assert_eq!(create(&ann, "a3").await, Ok(()));
}
