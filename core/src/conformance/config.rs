//! Apps, grants, configuration items and releases.

use std::sync::Arc;

use super::account::{account, add_account};
use super::{AWKWARD, moment, race};
use crate::config::{
    App, AppId, Content, Grant, Item, ItemId, ItemVersion, Permission, Release, ReleaseKind, ReleaseState,
};
use crate::ports::{LockKey, Storage};

/// An app told apart by `n`.
pub fn app(n: i64) -> App {
    App {
        id: 0,
        app: format!("app{n}"),
        app_type: 9,
        name: AWKWARD.into(),
        charger: "负责人".into(),
        create_time: moment(n),
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

/// The `n`th version of an item; nobody has approved it.
pub fn version(n: i64) -> ItemVersion {
    ItemVersion {
        version: n,
        content: Content {
            value: format!("{AWKWARD}\r\n\t{n}"),
            validator: format!("v => v !== '{n}'"),
            description: AWKWARD.into(),
        },
        modifier: n,
        modify_time: moment(n),
        approver: None,
    }
}

/// Adds an item with [`version`] 1 in the profile `dev`.
pub async fn add_item(storage: &Arc<dyn Storage>, app: AppId, key: &str) -> ItemId {
    let mut work = storage.begin().await.unwrap();
    let (id, first) = work.items().insert(app, "dev", key, &version(1)).await.unwrap().unwrap();
    assert_eq!(first, 1);
    work.commit().await.unwrap();
    id
}

fn item(id: ItemId, app: AppId, key: &str) -> Item {
    Item {
        id,
        app,
        profile: "dev".into(),
        key: key.into(),
        current: version(1),
        published_version: 0,
        published_value: String::new(),
    }
}

/// Apps are added, found, listed, changed and deleted; a revision does not come from outside.
pub async fn app_round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.apps().insert(&app(2)).await.unwrap(), None, "the name is taken");
    let expected = App { id: first, ..app(1) };
    assert_eq!(work.apps().by_id(first).await.unwrap(), Some(expected.clone()));
    assert_eq!(work.apps().by_name("app1").await.unwrap(), Some(expected));
    assert_eq!(work.apps().by_name("APP1").await.unwrap(), None);
    let changed =
        App { id: first, app_type: 0, name: "新".into(), charger: "dyf".into(), revision: 7, ..app(1) };
    assert!(work.apps().update(&changed).await.unwrap());
    assert!(!work.apps().update(&App { id: second + 1, ..app(1) }).await.unwrap());
    assert_eq!(work.apps().by_id(first).await.unwrap(), Some(App { revision: 0, ..changed }));
    assert_eq!(work.apps().by_id(second).await.unwrap(), Some(App { id: second, ..app(2) }));
    assert!(work.apps().delete(second).await.unwrap());
    assert!(!work.apps().delete(second).await.unwrap());
    assert_eq!(work.apps().by_id(second).await.unwrap(), None);
}

/// Of many that want one name at once, one gets it.
pub async fn app_race_for_one_name(storage: Arc<dyn Storage>) {
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
pub async fn app_revision_grows(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.apps().raise_revision(first).await.unwrap(), Some(1));
    assert_eq!(work.apps().raise_revision(first).await.unwrap(), Some(2));
    assert_eq!(work.apps().raise_revision(second).await.unwrap(), Some(1));
    assert_eq!(work.apps().raise_revision(second + 1).await.unwrap(), None);
    assert_eq!(work.apps().by_id(first).await.unwrap().unwrap().revision, 2);
}

/// Revisions of transactions at once have no gaps, also when some are rolled back, and none becomes visible before
/// the one below it.
pub async fn app_race_for_revisions(storage: Arc<dyn Storage>) {
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
pub async fn app_lock_serialises(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    race(&storage, move |storage: Arc<dyn Storage>, n| async move {
        let mut work = storage.begin().await.unwrap();
        work.lock(LockKey::App(first)).await.unwrap();
        work.lock(LockKey::App(second)).await.unwrap();
        if work.items().list(first, "dev").await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            work.items().insert(first, "dev", &format!("k{n}"), &version(1)).await.unwrap();
        }
        work.commit().await.unwrap();
    })
    .await;
    let items = storage.read().await.unwrap().items().list(first, "dev").await.unwrap();
    assert_eq!(items.len(), 1, "only the first found the app empty");
}

/// Nothing of a deleted app is left, and one of the same name starts anew.
pub async fn app_delete_takes_everything(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let (gone, stays) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (item, kept) = (add_item(&storage, gone, "k").await, add_item(&storage, stays, "k").await);
    let mut work = storage.begin().await.unwrap();
    for (app, item) in [(gone, item), (stays, kept)] {
        work.grants().insert(&grant(owner, Some(app), Permission::Manage)).await.unwrap();
        work.releases().insert(&release(item, 1)).await.unwrap();
    }
    assert!(work.apps().delete(gone).await.unwrap());
    let again = work.apps().insert(&app(1)).await.unwrap().unwrap();
    work.commit().await.unwrap();

    assert_ne!(again, gone);
    let mut snapshot = storage.read().await.unwrap();
    for app in [gone, again] {
        assert_eq!(snapshot.grants().list(Some(app)).await.unwrap(), []);
        assert_eq!(snapshot.grants().strongest(owner, Some(app)).await.unwrap(), None);
        assert_eq!(snapshot.items().history(app, "dev", "k").await.unwrap(), []);
    }
    assert_eq!(snapshot.items().app_of(item).await.unwrap(), None);
    assert_eq!(snapshot.releases().active(item).await.unwrap(), []);
    assert_eq!(snapshot.grants().list(Some(stays)).await.unwrap().len(), 1);
    assert_eq!(snapshot.items().list(stays, "dev").await.unwrap().len(), 1);
    assert_eq!(snapshot.releases().active(kept).await.unwrap().len(), 1);
}

/// A grant; `None` for the app is `all`.
pub fn grant(account: i64, app: Option<AppId>, permission: Permission) -> Grant {
    Grant { id: 0, account, uname: AWKWARD.into(), app, permission }
}

/// Grants are added, found, listed per app, changed and deleted.
pub async fn grant_round_trip(storage: Arc<dyn Storage>) {
    let (ann, bob) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    let mut ids = Vec::new();
    let grants = [
        grant(ann, Some(first), Permission::Manage),
        grant(bob, Some(first), Permission::Develop),
        grant(ann, Some(second), Permission::Develop),
        grant(bob, None, Permission::Manage),
    ];
    for grant in &grants {
        ids.push(work.grants().insert(grant).await.unwrap().unwrap());
        assert_eq!(work.grants().insert(grant).await.unwrap(), None, "one grant per account and app");
    }
    let kept = |n: usize| Grant { id: ids[n], ..grants[n].clone() };
    assert_eq!(work.grants().find(ids[1]).await.unwrap(), Some(kept(1)));
    assert_eq!(work.grants().list(Some(first)).await.unwrap(), [kept(0), kept(1)]);
    assert_eq!(work.grants().list(Some(second)).await.unwrap(), [kept(2)]);
    assert_eq!(work.grants().list(None).await.unwrap(), [kept(3)]);

    assert!(work.grants().update(ids[0], Permission::Develop).await.unwrap());
    let changed = work.grants().find(ids[0]).await.unwrap();
    assert_eq!(changed, Some(Grant { permission: Permission::Develop, ..kept(0) }));
    assert_eq!(work.grants().find(ids[1]).await.unwrap(), Some(kept(1)), "another grant stays as it was");
    assert!(work.grants().delete(ids[0]).await.unwrap());
    assert!(!work.grants().delete(ids[0]).await.unwrap());
    assert!(!work.grants().update(ids[0], Permission::Manage).await.unwrap());
    assert_eq!(work.grants().find(ids[0]).await.unwrap(), None);
    assert_eq!(work.grants().list(Some(first)).await.unwrap(), [kept(1)]);
}

/// What an account may do is the most of its grants on the app and on `all`; the apps it sees are those it may do
/// anything with.
pub async fn grant_reaches(storage: Arc<dyn Storage>) {
    let (ann, bob, eve) =
        (add_account(&storage, 1).await, add_account(&storage, 2).await, add_account(&storage, 3).await);
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    for grant in [
        grant(ann, Some(first), Permission::Develop),
        grant(bob, Some(first), Permission::Develop),
        grant(bob, None, Permission::Manage),
    ] {
        work.grants().insert(&grant).await.unwrap().unwrap();
    }
    for (account, app, expected) in [
        (ann, Some(first), Some(Permission::Develop)),
        (ann, Some(second), None),
        (ann, None, None),
        (bob, Some(first), Some(Permission::Manage)),
        (bob, Some(second), Some(Permission::Manage)),
        (bob, Some(second + 1), Some(Permission::Manage)),
        (bob, None, Some(Permission::Manage)),
        (eve, Some(first), None),
    ] {
        assert_eq!(work.grants().strongest(account, app).await.unwrap(), expected, "{account} on {app:?}");
    }
    for (account, expected) in [(ann, vec![first]), (bob, vec![first, second]), (eve, vec![])] {
        let apps = work.apps().of_account(account).await.unwrap();
        assert_eq!(apps.iter().map(|app| app.id).collect::<Vec<_>>(), expected);
    }
}

/// An account's grants end with it.
pub async fn grant_ends_with_its_account(storage: Arc<dyn Storage>) {
    let (gone, stays) = (add_account(&storage, 1).await, add_account(&storage, 2).await);
    let app = add_app(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for account in [gone, stays] {
        work.grants().insert(&grant(account, Some(app), Permission::Manage)).await.unwrap();
        work.grants().insert(&grant(account, None, Permission::Manage)).await.unwrap();
    }
    work.accounts().delete(gone).await.unwrap();
    let again = work.accounts().insert(&account(1)).await.unwrap().unwrap();
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    for app in [Some(app), None] {
        let left = snapshot.grants().list(app).await.unwrap();
        assert_eq!(left.iter().map(|grant| grant.account).collect::<Vec<_>>(), [stays]);
        assert_eq!(snapshot.grants().strongest(again, app).await.unwrap(), None);
    }
}

/// Of many that give one account a grant on one app at once, one does; on `all` likewise.
pub async fn grant_race_for_one_account(storage: Arc<dyn Storage>) {
    let (owner, app) = (add_account(&storage, 1).await, add_app(&storage, 1).await);
    for app in [Some(app), None] {
        let won = race(&storage, move |storage: Arc<dyn Storage>, _| async move {
            let mut work = storage.begin().await.unwrap();
            let id = work.grants().insert(&grant(owner, app, Permission::Manage)).await.unwrap();
            work.commit().await.unwrap();
            id.is_some()
        })
        .await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
}

/// What is put in comes out, by name and by id; values may be 1 MiB, keys 256 bytes.
pub async fn item_round_trip(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let a = add_item(&storage, first, AWKWARD).await;
    let b = add_item(&storage, first, "b").await;
    let c = add_item(&storage, second, AWKWARD).await;
    let mut work = storage.begin().await.unwrap();
    let mut large = version(1);
    large.content.value = "'\u{1F680}\r\n".repeat((1 << 20) / 7);
    large.content.validator = "\"".repeat(1 << 16);
    let long = "键".repeat(85);
    let (d, _) = work.items().insert(first, "prod", &long, &large).await.unwrap().unwrap();
    assert_eq!(work.items().insert(first, "dev", AWKWARD, &version(1)).await.unwrap(), None);
    work.commit().await.unwrap();

    let mut snapshot = storage.read().await.unwrap();
    let items = snapshot.items();
    assert_eq!(items.find(first, "dev", AWKWARD).await.unwrap(), Some(item(a, first, AWKWARD)));
    assert_eq!(items.by_id(c).await.unwrap(), Some(item(c, second, AWKWARD)));
    assert_eq!(items.find(first, "prod", AWKWARD).await.unwrap(), None);
    assert_eq!(items.find(first, "dev", "B").await.unwrap(), None);
    assert_eq!(items.by_id(d + 1).await.unwrap(), None);
    let stored = items.find(first, "prod", &long).await.unwrap().unwrap();
    assert!(stored.current == large && stored.id == d && stored.key == long);
    assert_eq!((items.app_of(b).await.unwrap(), items.app_of(d + 1).await.unwrap()), (Some(first), None));
    let list = items.list(first, "dev").await.unwrap();
    assert_eq!(list, [item(a, first, AWKWARD), item(b, first, "b")]);
    assert_eq!(items.list(first, "Dev").await.unwrap(), []);
}

/// Profiles are listed once each, by name byte for byte.
pub async fn item_profiles(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for (n, profile) in ["test", "dev", "Prod", "dev", "_x", "dev2"].into_iter().enumerate() {
        work.items().insert(app, profile, &format!("k{n}"), &version(1)).await.unwrap();
    }
    assert_eq!(work.items().profiles(app).await.unwrap(), ["Prod", "_x", "dev", "dev2", "test"]);
    assert_eq!(work.items().profiles(app + 1).await.unwrap(), [""; 0]);
    let gone = work.items().find(app, "test", "k0").await.unwrap().unwrap();
    assert!(work.items().delete(gone.id, 1, None).await.unwrap());
    assert_eq!(work.items().profiles(app).await.unwrap(), ["Prod", "_x", "dev", "dev2"]);
}

/// A version follows the current one or is refused, and is kept; its approval is its own.
pub async fn item_versions(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(!items.amend(id, &version(1)).await.unwrap());
    assert!(!items.amend(id, &version(3)).await.unwrap());
    assert!(!items.approve(id, 2, 70).await.unwrap());
    assert!(items.approve(id, 1, 70).await.unwrap());
    assert!(!items.approve(id, 1, 71).await.unwrap(), "the first approver stays");
    let approved = ItemVersion { approver: Some(70), ..version(1) };
    assert_eq!(items.by_id(id).await.unwrap().unwrap().current, approved);
    assert!(items.amend(id, &version(2)).await.unwrap());
    assert!(!items.amend(id, &version(2)).await.unwrap());
    assert_eq!(items.by_id(id).await.unwrap().unwrap().current, version(2));
    assert!(items.amend(id, &version(3)).await.unwrap());
    assert!(!items.approve(id, 2, 71).await.unwrap(), "an old version is not approved any more");
    let history = items.history(app, "dev", "k").await.unwrap();
    assert_eq!(history, [version(3), version(2), approved.clone()]);
    assert_eq!(items.version(app, "dev", "k", 1).await.unwrap(), Some(approved));
    assert_eq!(items.version(app, "dev", "k", 4).await.unwrap(), None);
    assert_eq!(items.version(app, "dev", "k", 0).await.unwrap(), None);
    assert_eq!(items.by_id(other).await.unwrap().unwrap(), item(other, app, "other"));
    assert_eq!(items.history(app, "dev", "other").await.unwrap(), [version(1)]);
    assert_eq!(items.history(app, "prod", "k").await.unwrap(), []);
}

/// What is published is a version, which stays published when the item goes on.
pub async fn item_published(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(!items.publish(id, 2, 5).await.unwrap());
    assert!(items.publish(id, 1, 5).await.unwrap());
    assert!(items.amend(id, &version(2)).await.unwrap());
    assert!(!items.publish(id, 1, 6).await.unwrap(), "an old version is not published any more");
    let held = items.by_id(id).await.unwrap().unwrap();
    assert_eq!((held.current, held.published_version), (version(2), 1));
    assert_eq!(held.published_value, version(1).content.value);
    assert!(items.publish(id, 2, 6).await.unwrap() && items.publish(other, 1, 7).await.unwrap());
    assert_eq!(items.list(app, "dev").await.unwrap()[0].published_version, 2);
    assert!(items.promote(id, 1, 8).await.unwrap(), "an old version can be promoted");
    assert_eq!(items.by_id(id).await.unwrap().unwrap().published_version, 1);
    assert!(!items.promote(id, 3, 9).await.unwrap() && !items.promote(other + 1, 1, 9).await.unwrap());
    assert_eq!(items.place(id).await.unwrap(), Some(("dev".into(), "k".into())));
    assert_eq!(items.place(other + 1).await.unwrap(), None);
}

/// A deleted item is gone but for its versions; created again it keeps its id and its version goes on.
pub async fn item_delete_and_again(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(items.amend(id, &version(2)).await.unwrap());
    assert!(items.approve(id, 2, 70).await.unwrap() && items.publish(id, 2, 1).await.unwrap());
    assert!(!items.delete(id, 1, Some(2)).await.unwrap());
    assert!(items.delete(id, 2, Some(2)).await.unwrap());
    assert!(!items.delete(id, 2, Some(3)).await.unwrap());
    assert_eq!(items.find(app, "dev", "k").await.unwrap(), None);
    assert_eq!(items.by_id(id).await.unwrap(), None);
    assert_eq!(items.list(app, "dev").await.unwrap(), [item(other, app, "other")]);
    assert!(!items.amend(id, &version(3)).await.unwrap());
    assert!(!items.publish(id, 2, 4).await.unwrap() && !items.promote(id, 2, 4).await.unwrap());
    assert_eq!(items.place(id).await.unwrap(), Some(("dev".into(), "k".into())));
    assert_eq!(items.app_of(id).await.unwrap(), Some(app));
    let approved = ItemVersion { approver: Some(70), ..version(2) };
    assert_eq!(items.history(app, "dev", "k").await.unwrap(), [approved.clone(), version(1)]);

    assert_eq!(items.insert(app, "dev", "k", &version(1)).await.unwrap(), Some((id, 3)));
    let third = ItemVersion { version: 3, ..version(1) };
    assert_eq!(items.by_id(id).await.unwrap(), Some(Item { current: third.clone(), ..item(id, app, "k") }));
    assert_eq!(items.history(app, "dev", "k").await.unwrap(), [third, approved, version(1)]);
    assert!(items.delete(id, 3, None).await.unwrap());
    assert!(!items.approve(id, 3, 71).await.unwrap(), "what is deleted is not approved");
}

/// Of many that do the same to one version of an item at once, one does it: create, approve, amend, delete.
pub async fn item_races(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let id = add_item(&storage, app, "k").await;
    for deed in 0..4 {
        let won = race(&storage, move |storage: Arc<dyn Storage>, n| async move {
            let mut work = storage.begin().await.unwrap();
            let items = work.items();
            let won = match deed {
                0 => items.insert(app, "dev", "new", &version(1)).await.unwrap().is_some(),
                1 => items.approve(id, 1, n).await.unwrap(),
                2 => items.amend(id, &version(2)).await.unwrap(),
                _ => items.delete(id, 2, None).await.unwrap(),
            };
            work.commit().await.unwrap();
            won
        })
        .await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "deed {deed}");
    }
}

/// A full release that is active.
pub fn release(item: ItemId, version: i64) -> Release {
    Release {
        id: 0,
        item,
        version,
        kind: ReleaseKind::Full,
        state: ReleaseState::Active,
        publisher: 7,
        publish_time: moment(version),
        revision: version + 10,
        end_revision: None,
        nodes: Vec::new(),
        origin: None,
    }
}
