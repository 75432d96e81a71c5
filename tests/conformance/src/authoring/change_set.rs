//! Change sets, and the methods that change many items at once.

use std::sync::Arc;

use pilothouse_core::account::{AccountId, Groups};
use pilothouse_core::config::{
    AppId, Change, ChangeAction, ChangeSet, ChangeSetFilter, ChangeSetId, ChangeSetState, ChangedItem,
    ContentChange, ItemChange, ItemHead, ItemId, ItemVersion, NewChangeSet, NewItem, VersionOf,
    VersionedItem,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Order, Page};

use super::item::{add_item, version};
use crate::Fixture;
use crate::race::race;
use crate::rows::{AWKWARD, add_app, moment};

fn change_set(app: AppId, n: i64) -> ChangeSet {
    ChangeSet {
        id: ChangeSetId(7),
        app,
        profile: "dev".into(),
        title: format!("{AWKWARD} {n}"),
        state: ChangeSetState::Draft,
        author: AccountId(n),
        time: moment(n),
        approver: None,
        size: 2,
    }
}

fn new_item(key: &str) -> NewItem {
    NewItem { key: key.to_owned(), first: ItemVersion { approver: Some(AccountId(70)), ..version(1) } }
}

fn of(item: ItemId, version: i64) -> VersionOf {
    VersionOf { item, version }
}

/// A set is read back with its items by id, listed by profile and state, and moves only from the state it is in.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let (app, other) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (a, b) = (add_item(&storage, app, AWKWARD).await, add_item(&storage, app, "b").await);
    let changed =
        |item, key: &str, action| ChangedItem { item, key: key.into(), action, from: 1, version: 2 };
    let items = [changed(b, "b", ChangeAction::Update), changed(a, AWKWARD, ChangeAction::Delete)];
    let mut work = storage.begin().await.unwrap();
    let sets = work.change_sets();
    let first = sets.insert(&change_set(app, 1), &items).await.unwrap();
    let second = sets.insert(&change_set(app, 2), &items[..1]).await.unwrap();
    let elsewhere = ChangeSet { profile: "prod".into(), ..change_set(app, 3) };
    sets.insert(&elsewhere, &[]).await.unwrap();
    let foreign = sets.insert(&change_set(other, 4), &[]).await.unwrap();
    assert!(first < second);
    let stored = |id, n| ChangeSet { id, ..change_set(app, n) };
    assert_eq!(sets.find(first).await.unwrap(), Some(stored(first, 1)));
    assert_eq!(sets.find(ChangeSetId(foreign.0 + 1)).await.unwrap(), None);
    let [update, deletion] = items;
    assert_eq!(sets.items(first).await.unwrap(), [deletion, update.clone()]);
    assert_eq!(sets.items(second).await.unwrap(), [update]);

    assert!(!sets.advance(first, ChangeSetState::Approved, ChangeSetState::Released, None).await.unwrap());
    let (draft, approved) = (ChangeSetState::Draft, ChangeSetState::Approved);
    assert!(sets.advance(first, draft, approved, Some(AccountId(9))).await.unwrap());
    assert!(!sets.advance(first, draft, approved, Some(AccountId(8))).await.unwrap());
    assert!(sets.advance(first, approved, ChangeSetState::Released, None).await.unwrap());
    let released =
        ChangeSet { state: ChangeSetState::Released, approver: Some(AccountId(9)), ..stored(first, 1) };
    let filter = |state| ChangeSetFilter { app, profile: "dev".into(), state };
    let newest = Page { order: Order::Newest, ..Page::default() };
    assert_eq!(sets.list(&filter(None), newest).await.unwrap(), [stored(second, 2), released.clone()]);
    assert_eq!(sets.list(&filter(Some(ChangeSetState::Released)), newest).await.unwrap(), [released]);
    assert_eq!(sets.list(&filter(None), Page::at(second.0, 1)).await.unwrap(), [stored(second, 2)]);
    assert_eq!(
        (sets.count(&filter(None)).await.unwrap(), sets.count(&filter(Some(draft))).await.unwrap()),
        (2, 1)
    );
    assert!(work.apps().delete(app).await.unwrap());
    assert_eq!(work.change_sets().find(first).await.unwrap(), None);
    assert_eq!(work.change_sets().items(first).await.unwrap(), []);
    work.commit().await.unwrap();
}

/// Many items are created, amended, approved and deleted by one call each, which does all or says that it did not.
pub(crate) async fn many_items(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let gone = add_item(&storage, app, "gone").await;
    let mut work = storage.begin().await.unwrap();
    let items = work.items();
    assert!(items.delete(gone, 1, None).await.unwrap());
    let new: Vec<NewItem> = ["z", AWKWARD, "gone"].map(new_item).into();
    let made = items.insert_all(app, "dev", &new).await.unwrap().unwrap();
    let [z, awkward, again] = made[..] else { panic!("{made:?}") };
    assert_eq!((z.version, awkward.version, again), (1, 1, of(gone, 2)));
    assert_eq!(items.insert_all(app, "dev", &[]).await.unwrap(), Some(vec![]));
    let head = |item: ItemId, key: &str, version| ItemHead {
        item,
        key: key.into(),
        version,
        modifier: AccountId(1),
        approver: Some(AccountId(70)),
        published_version: 0,
        is_deleted: false,
    };
    let found = items.heads(app, "dev", &["z", AWKWARD, "nothing"]).await.unwrap();
    assert_eq!(found, [head(z.item, "z", 1), head(awkward.item, AWKWARD, 1)]);
    assert_eq!(items.heads(app, "prod", &["z"]).await.unwrap(), []);
    assert_eq!(
        items.heads_of(&[z.item, gone, ItemId(z.item.0 + 99)]).await.unwrap(),
        [head(gone, "gone", 2), head(z.item, "z", 1),]
    );

    let next = |item, n| VersionedItem { item, version: ItemVersion { version: n, ..version(2) } };
    assert!(items.amend_all(&[next(z.item, 2), next(gone, 3)]).await.unwrap());
    let second = ItemVersion { version: 2, ..version(2) };
    let found = items.versions(&[of(z.item, 2), of(gone, 9), of(gone, 1), of(z.item, 2)]).await.unwrap();
    let expected = [(gone, version(1)), (z.item, second)];
    assert_eq!(found, expected.map(|(item, version)| VersionedItem { item, version }));
    // The newest need not be the one that is approved, and the first approver stays.
    assert_eq!(
        items.approve_all(&[of(z.item, 1), of(z.item, 2), of(gone, 1)], AccountId(71)).await.unwrap(),
        2
    );
    let current = items.by_id(z.item).await.unwrap().unwrap().current;
    assert_eq!((current.version, current.approver), (2, Some(AccountId(71))));
    assert_eq!(items.version(app, "dev", "z", 1).await.unwrap().unwrap().approver, Some(AccountId(70)));
    // A version that need not be the newest is the published one, or none; a deleted item comes back with it.
    assert!(items.release_all(&[of(z.item, 1), of(gone, 2)], 5).await.unwrap());
    assert!(items.release_all(&[of(gone, 0)], 6).await.unwrap());
    let published = items.heads_of(&[z.item, gone]).await.unwrap();
    assert_eq!(published.iter().map(|head| head.published_version).collect::<Vec<_>>(), [0, 1]);
    assert!(items.delete(z.item, 2, Some(7)).await.unwrap());
    assert!(items.release_all(&[of(z.item, 0)], 8).await.unwrap());
    assert!(items.heads_of(&[z.item]).await.unwrap()[0].is_deleted);
    assert!(items.release_all(&[of(z.item, 2)], 9).await.unwrap());
    let back = items.by_id(z.item).await.unwrap().unwrap();
    assert_eq!(
        (back.current.version, back.published_version, back.published_value),
        (2, 2, version(2).content.value)
    );
    assert!(items.delete_all(&[of(z.item, 2), of(awkward.item, 1)], None).await.unwrap());
    assert_eq!(items.list(app, "dev").await.unwrap().len(), 1);
    let heads = items.heads(app, "dev", &["z"]).await.unwrap();
    assert!(heads[0].is_deleted && heads[0].version == 2);
    work.commit().await.unwrap();

    for wrong in 0..5 {
        let mut work = storage.begin().await.unwrap();
        let items = work.items();
        let done = match wrong {
            0 => items.insert_all(app, "dev", &["new", "gone"].map(new_item)).await.unwrap().is_some(),
            1 => items.amend_all(&[next(gone, 4), next(z.item, 3)]).await.unwrap(),
            2 => items.amend_all(&[next(gone, 5)]).await.unwrap(),
            3 => items.release_all(&[of(gone, 1), of(awkward.item, 9)], 10).await.unwrap(),
            _ => items.delete_all(&[of(gone, 3), of(awkward.item, 1)], None).await.unwrap(),
        };
        assert!(!done, "{wrong}");
        work.rollback().await.unwrap();
    }
    assert_eq!(storage.read().await.unwrap().items().heads_of(&[gone]).await.unwrap()[0].version, 3);
}

/// The largest set is made, released and taken back whole, however a store cuts it into statements.
pub(crate) async fn largest(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let change = |n: i64| Change {
        key: format!("key {n}"),
        seen: Some(0),
        item: ItemChange::Content(ContentChange { value: Some(n.to_string()), ..ContentChange::default() }),
    };
    let new = NewChangeSet {
        app: "app".into(),
        profile: "dev".into(),
        changes: (0..10_000).map(change).collect(),
        ..NewChangeSet::default()
    };
    let made = fixture.pilothouse.change_sets().apply_and_publish(&ann, new).await.unwrap();
    let released = made.released.unwrap();
    assert_eq!(released.items, 10_000);
    let mut snapshot = fixture.storage.read().await.unwrap();
    let set = snapshot.change_sets().items(made.applied.change_set.unwrap()).await.unwrap();
    assert_eq!((set.len(), set[9_999].version), (10_000, 1));
    let parts = snapshot.releases().parts(&[released.release]).await.unwrap();
    assert_eq!(parts.len(), 10_000);
    drop(snapshot);
    let session = fixture.pilothouse.delivery().open_unsigned("app").await.unwrap().unwrap();
    let items = || session.snapshot().node_config("dev", "node").delta.items.len();
    assert_eq!(items(), 10_000);
    fixture.pilothouse.releases().roll_back(&ann, released.release).await.unwrap();
    assert_eq!(items(), 0);
}

/// Of sets that change one item at once, each is made whole or refused: versions have no holes, and no set is half done.
pub(crate) async fn race_of_sets(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let change = |key: &str, value: String| Change {
        key: key.into(),
        seen: None,
        item: ItemChange::Content(ContentChange { value: Some(value), ..ContentChange::default() }),
    };
    let servers: Vec<_> = (0..4).map(|_| fixture.another_server()).collect();
    let (servers, ann) = (Arc::new(servers), Arc::new(ann));
    let won = race(&storage, |_, n| {
        let (servers, ann) = (servers.clone(), ann.clone());
        let changes = vec![change("a", n.to_string()), change(&format!("own{n}"), String::new())];
        async move {
            let new =
                NewChangeSet { app: "app".into(), profile: "dev".into(), changes, ..NewChangeSet::default() };
            servers[usize::try_from(n % 4).unwrap()].change_sets().apply(&ann, new).await.is_ok()
        }
    })
    .await;
    let made = won.iter().filter(|won| **won).count();
    assert!(made > 0);
    let items = fixture.pilothouse.items().list(&ann, "app", "dev").await.unwrap();
    assert_eq!(items.len(), made + 1, "a set that was refused created nothing");
    let shared = items.iter().find(|item| item.key == "a").unwrap();
    assert_eq!(shared.current.version, i64::try_from(made).unwrap());
    let sets = fixture.pilothouse.change_sets();
    let sets = sets.list(&ann, ("app", "dev"), None, Page::at(0, 100)).await.unwrap().rows;
    assert_eq!(sets.len(), made);
}
