//! Configuration items: every version, approval, publication, deletion.

use pilothouse_core::account::AccountId;
use std::sync::Arc;

use pilothouse_core::ErrorKind;
use pilothouse_core::account::Groups;
use pilothouse_core::config::{
    AppId, Content, ContentChange, HistoryPage, Item, ItemId, ItemSearch, ItemVersion, VersionSize,
};
use pilothouse_core::ports::Storage;

use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, add_app, item_name, moment};

/// The `n`th version of an item; nobody has approved it.
pub fn version(n: i64) -> ItemVersion {
    ItemVersion {
        version: n,
        content: Content {
            value: format!("{AWKWARD}\r\n\t{n}"),
            validator: format!("v => v !== '{n}'"),
            description: AWKWARD.into(),
        },
        modifier: AccountId(n),
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

/// An inserted item is read back unchanged by name and by id; values may be 1 MiB, keys 256 bytes.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
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
    assert_eq!(items.by_id(ItemId(d.0 + 1)).await.unwrap(), None);
    let stored = items.find(first, "prod", &long).await.unwrap().unwrap();
    assert!(stored.current == large && stored.id == d && stored.key == long);
    assert_eq!(
        (items.app_of(b).await.unwrap(), items.app_of(ItemId(d.0 + 1)).await.unwrap()),
        (Some(first), None)
    );
    let list = items.list(first, "dev").await.unwrap();
    assert_eq!(list, [item(a, first, AWKWARD), item(b, first, "b")]);
    assert_eq!(items.list(first, "Dev").await.unwrap(), []);
}

/// Profiles are listed once each, by name byte for byte.
pub(crate) async fn profiles(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let mut work = storage.begin().await.unwrap();
    for (n, profile) in ["test", "dev", "Prod", "dev", "_x", "dev2"].into_iter().enumerate() {
        work.items().insert(app, profile, &format!("k{n}"), &version(1)).await.unwrap();
    }
    assert_eq!(work.items().profiles(app).await.unwrap(), ["Prod", "_x", "dev", "dev2", "test"]);
    assert_eq!(work.items().profiles(AppId(app.0 + 1)).await.unwrap(), [""; 0]);
    let gone = work.items().find(app, "test", "k0").await.unwrap().unwrap();
    assert!(work.items().delete(gone.id, 1, None).await.unwrap());
    assert_eq!(work.items().profiles(app).await.unwrap(), ["Prod", "_x", "dev", "dev2"]);
}

/// A version follows the current one or is refused, and is kept; its approval is its own.
pub(crate) async fn versions(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(!items.amend(id, &version(1)).await.unwrap());
    assert!(!items.amend(id, &version(3)).await.unwrap());
    assert!(!items.approve(id, 2, AccountId(70)).await.unwrap());
    assert!(items.approve(id, 1, AccountId(70)).await.unwrap());
    assert!(!items.approve(id, 1, AccountId(71)).await.unwrap(), "the first approver stays");
    let approved = ItemVersion { approver: Some(AccountId(70)), ..version(1) };
    assert_eq!(items.by_id(id).await.unwrap().unwrap().current, approved);
    assert!(items.amend(id, &version(2)).await.unwrap());
    assert!(!items.amend(id, &version(2)).await.unwrap());
    assert_eq!(items.by_id(id).await.unwrap().unwrap().current, version(2));
    assert!(items.amend(id, &version(3)).await.unwrap());
    assert!(!items.approve(id, 2, AccountId(71)).await.unwrap(), "an old version is not approved any more");
    let history = items.history(&HistoryPage::whole(app, "dev", "k")).await.unwrap();
    assert_eq!(history, [version(3), version(2), approved.clone()]);
    assert_eq!(items.version(app, "dev", "k", 1).await.unwrap(), Some(approved));
    assert_eq!(items.version(app, "dev", "k", 4).await.unwrap(), None);
    assert_eq!(items.version(app, "dev", "k", 0).await.unwrap(), None);
    assert_eq!(items.by_id(other).await.unwrap().unwrap(), item(other, app, "other"));
    assert_eq!(items.history(&HistoryPage::whole(app, "dev", "other")).await.unwrap(), [version(1)]);
    assert_eq!(items.history(&HistoryPage::whole(app, "prod", "k")).await.unwrap(), []);
}

/// A history is read in parts, newest first, with values or without, and its sizes are known before.
pub(crate) async fn history_pages(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let id = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    for n in 2..=4 {
        assert!(work.items().amend(id, &version(n)).await.unwrap());
    }
    assert!(work.items().delete(id, 4, None).await.unwrap());
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let items = snapshot.items();
    let whole = HistoryPage::whole(app, "dev", "k");
    let part = HistoryPage { before: 4, count: 2, ..whole };
    assert_eq!(items.history(&part).await.unwrap(), [version(3), version(2)]);
    assert_eq!(items.history(&HistoryPage { before: 1, ..whole }).await.unwrap(), []);
    let bare = |n| {
        let mut version = version(n);
        version.content.value.clear();
        version.content.validator.clear();
        version
    };
    let without = HistoryPage { has_values: false, ..part };
    assert_eq!(items.history(&without).await.unwrap(), [bare(3), bare(2)]);
    for page in [whole, part, without] {
        let sizes = items.history(&page).await.unwrap().into_iter().map(|of| {
            let Content { value, validator, description } = of.content;
            let bytes = i64::try_from(value.len() + validator.len() + description.len()).unwrap();
            VersionSize { version: of.version, bytes }
        });
        assert_eq!(items.history_sizes(&page).await.unwrap(), sizes.collect::<Vec<_>>());
    }
}

/// A search finds text in keys and current values, letter by letter, of the apps and the profile asked for.
pub(crate) async fn search(storage: Arc<dyn Storage>) {
    let (first, second) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let mut work = storage.begin().await.unwrap();
    assert_eq!(work.items().last_id().await.unwrap(), None);
    let mut ids = Vec::new();
    for (app, profile, key, value) in [
        (first, "dev", "db/host", "更新 100% a_b"),
        (first, "dev", "other", "DB/HOST"),
        (first, "prod", "x", "see db/host\nand more"),
        (second, "dev", "y", "db/host"),
        (first, "dev", "gone", "db/host"),
    ] {
        let mut version = version(1);
        version.content.value = value.into();
        ids.push(work.items().insert(app, profile, key, &version).await.unwrap().unwrap().0);
    }
    let [host, _, prod, foreign, gone] = ids[..] else { unreachable!() };
    let newer =
        ItemVersion { content: Content { value: "db/host".into(), ..Content::default() }, ..version(2) };
    assert!(work.items().amend(ids[1], &newer).await.unwrap());
    let cleared = ItemVersion { content: Content::default(), ..version(3) };
    assert!(work.items().amend(ids[1], &cleared).await.unwrap(), "an old value is not searched");
    assert!(work.items().delete(gone, 1, None).await.unwrap());
    work.commit().await.unwrap();

    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.items().last_id().await.unwrap(), Some(gone));
    let all = ItemSearch {
        text: "db/host",
        apps: &[first, second],
        profile: None,
        start: 0,
        before: i64::MAX,
        count: 10,
    };
    for (search, expected) in [
        (all, vec![host, prod, foreign]),
        (ItemSearch { apps: &[first], ..all }, vec![host, prod]),
        (ItemSearch { apps: &[], ..all }, vec![]),
        (ItemSearch { profile: Some("dev"), ..all }, vec![host, foreign]),
        (ItemSearch { start: prod.0, ..all }, vec![prod, foreign]),
        (ItemSearch { before: foreign.0, ..all }, vec![host, prod]),
        (ItemSearch { count: 1, ..all }, vec![host]),
        (ItemSearch { text: "DB/host", ..all }, vec![]),
        (ItemSearch { text: "更", ..all }, vec![host]),
        (ItemSearch { text: "%", ..all }, vec![host]),
        (ItemSearch { text: "a_b", ..all }, vec![host]),
        (ItemSearch { text: "_", profile: Some("prod"), ..all }, vec![]),
        (ItemSearch { text: "t\nand", ..all }, vec![prod]),
    ] {
        let found = snapshot.items().search(&search).await.unwrap();
        assert_eq!(found.iter().map(|item| item.id).collect::<Vec<_>>(), expected, "{search:?}");
    }
    let found = snapshot.items().search(&ItemSearch { text: "and more", ..all }).await.unwrap();
    assert_eq!(found, [snapshot.items().by_id(prod).await.unwrap().unwrap()]);
}

/// The newest version may get a greater number, and the next follows that; an older or a deleted one gets none.
pub(crate) async fn numbers_are_kept(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let id = add_item(&storage, app, "k").await;
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(!items.renumber(id, 1, 1).await.unwrap());
    assert!(!items.renumber(id, 2, 5).await.unwrap());
    assert!(items.renumber(id, 1, 5).await.unwrap());
    assert!(!items.renumber(id, 5, 4).await.unwrap());
    assert!(items.approve(id, 5, AccountId(70)).await.unwrap());
    assert!(items.amend(id, &version(6)).await.unwrap());
    assert!(!items.renumber(id, 5, 7).await.unwrap());
    assert!(items.renumber(id, 6, 9).await.unwrap());
    assert!(items.promote(id, 5, 1).await.unwrap());
    assert!(!items.promote(id, 6, 2).await.unwrap());
    let [newest, oldest] = [(9, 6), (5, 1)].map(|(number, n)| ItemVersion { version: number, ..version(n) });
    let oldest = ItemVersion { approver: Some(AccountId(70)), ..oldest };
    assert_eq!(
        items.history(&HistoryPage::whole(app, "dev", "k")).await.unwrap(),
        [newest.clone(), oldest.clone()]
    );
    assert_eq!(items.version(app, "dev", "k", 5).await.unwrap(), Some(oldest.clone()));
    assert_eq!(items.version(app, "dev", "k", 6).await.unwrap(), None);
    let item = items.by_id(id).await.unwrap().unwrap();
    assert_eq!((item.current, item.published_version), (newest, 5));
    assert_eq!(item.published_value, oldest.content.value);
    assert!(items.delete(id, 9, None).await.unwrap());
    assert!(!items.renumber(id, 9, 10).await.unwrap());
    work.commit().await.unwrap();
}

/// A published version stays published when the item gets a newer one.
pub(crate) async fn published(storage: Arc<dyn Storage>) {
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
    assert!(
        !items.promote(id, 3, 9).await.unwrap() && !items.promote(ItemId(other.0 + 1), 1, 9).await.unwrap()
    );
    assert_eq!(items.place(id).await.unwrap(), Some(("dev".into(), "k".into())));
    assert_eq!(items.place(ItemId(other.0 + 1)).await.unwrap(), None);
}

/// A deleted item is gone but for its versions; created again it keeps its id and its version goes on.
pub(crate) async fn delete_and_again(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(items.amend(id, &version(2)).await.unwrap());
    assert!(items.approve(id, 2, AccountId(70)).await.unwrap() && items.publish(id, 2, 1).await.unwrap());
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
    let approved = ItemVersion { approver: Some(AccountId(70)), ..version(2) };
    assert_eq!(
        items.history(&HistoryPage::whole(app, "dev", "k")).await.unwrap(),
        [approved.clone(), version(1)]
    );

    assert_eq!(items.insert(app, "dev", "k", &version(1)).await.unwrap(), Some((id, 3)));
    let third = ItemVersion { version: 3, ..version(1) };
    assert_eq!(items.by_id(id).await.unwrap(), Some(Item { current: third.clone(), ..item(id, app, "k") }));
    assert_eq!(
        items.history(&HistoryPage::whole(app, "dev", "k")).await.unwrap(),
        [third, approved, version(1)]
    );
    assert!(items.delete(id, 3, None).await.unwrap());
    assert!(!items.approve(id, 3, AccountId(71)).await.unwrap(), "what is deleted is not approved");
}

/// Of many that do the same to one version of an item at once, one does it: create, approve, amend, delete.
pub(crate) async fn races(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let id = add_item(&storage, app, "k").await;
    for deed in 0..4 {
        let won = race(&storage, move |storage: Arc<dyn Storage>, n| async move {
            let mut work = storage.begin().await.unwrap();
            let items = work.items();
            let won = match deed {
                0 => items.insert(app, "dev", "new", &version(1)).await.unwrap().is_some(),
                1 => items.approve(id, 1, AccountId(n)).await.unwrap(),
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

/// A change keeps what it does not name, may send the id back, and makes no version where nothing changes.
pub(crate) async fn change_keeps_the_rest(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let items = fixture.pilothouse.items();
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let name = item_name("app", "k");
    let first = Content { value: "1".into(), validator: "int".into(), description: "one".into() };
    let id = items.create(&ann, &name, first.clone()).await.unwrap();
    let changed = ContentChange { id: Some(id), value: Some("2".into()), ..ContentChange::default() };
    items.update(&ann, &name, changed, Some(1)).await.unwrap();
    items.update(&ann, &name, ContentChange::default(), Some(2)).await.unwrap();
    let current = items.find(&ann, &name).await.unwrap().current;
    assert_eq!((current.version, current.content), (2, Content { value: "2".into(), ..first }));
    let checked = ContentChange { value: Some("two".into()), ..ContentChange::default() };
    let refused = items.update(&ann, &name, checked, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "the validator that stays is asked");
    let another = ContentChange { id: Some(ItemId(id.0 + 1)), ..ContentChange::default() };
    let refused = items.update(&ann, &name, another, None).await.unwrap_err();
    assert_eq!(refused.to_string(), "id: is not that of this config");
}
