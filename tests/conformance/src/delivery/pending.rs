//! Pending work: drafts, approved versions, change sets and grey releases that are open.

use std::sync::Arc;

use pilothouse_core::account::{AccountId, Groups};
use pilothouse_core::config::{
    ActiveGrey, AppId, ChangeAction, ChangeSet, ChangeSetId, ChangeSetState, ChangedItem, Content, ItemId,
    ItemVersion, NewItem, PendingItem, PendingSubject, Permission, Release, ReleaseId, ReleaseKind,
    ReleaseState, Selector,
};
use pilothouse_core::ports::{Repositories, Storage};
use pilothouse_core::{Page, Settings};

use super::release::{grey, release};
use crate::Fixture;
use crate::rows::{AWKWARD, add_app, add_item, item_name, moment, version};

const MANY: i64 = 100;

fn draft(item: ItemId, app: AppId, key: &str, number: i64) -> PendingItem {
    PendingItem {
        item,
        app,
        profile: "dev".into(),
        key: key.into(),
        version: number,
        modifier: AccountId(number),
        modify_time: moment(number),
        change_set: None,
    }
}

async fn items(store: &mut dyn Repositories, apps: &[AppId], is_approved: bool) -> Vec<PendingItem> {
    store.pending().pending_items(apps, is_approved, ItemId(0), MANY).await.unwrap()
}

/// Open are items whose current version is neither published nor in an active grey release, by approval, with the change set
/// that still stands for them.
pub(crate) async fn drafts(storage: Arc<dyn Storage>) {
    let (app, other) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (a, b) = (add_item(&storage, app, AWKWARD).await, add_item(&storage, app, "b").await);
    let foreign = add_item(&storage, other, "c").await;
    let mut work = storage.begin().await.unwrap();
    let (first, second) = (draft(a, app, AWKWARD, 1), draft(b, app, "b", 1));
    assert_eq!(items(&mut *work, &[app], false).await, [first.clone(), second.clone()]);
    let both = items(&mut *work, &[app, other], false).await;
    assert_eq!(both, [first.clone(), second.clone(), draft(foreign, other, "c", 1)]);
    assert_eq!(items(&mut *work, &[], false).await, []);
    assert_eq!(items(&mut *work, &[app, other], true).await, []);
    let pending = work.pending();
    let page = pending.pending_items(&[app], false, ItemId(0), 1).await.unwrap();
    assert_eq!(page, std::slice::from_ref(&first));
    let page = pending.pending_items(&[app], false, ItemId(a.0 + 1), 1).await.unwrap();
    assert_eq!(page, std::slice::from_ref(&second));

    // The newest set in the state of the version stands for it, as long as the version is the current one.
    let set = |state, n| ChangeSet {
        id: ChangeSetId::UNSAVED,
        app,
        profile: "dev".into(),
        title: format!("{AWKWARD} {n}"),
        state,
        author: AccountId(n),
        time: moment(n),
        approver: None,
        size: 1,
    };
    let made = |version| ChangedItem {
        item: a,
        key: AWKWARD.into(),
        action: ChangeAction::Update,
        from: 0,
        version,
    };
    work.change_sets().insert(&set(ChangeSetState::Draft, 1), &[made(1)]).await.unwrap();
    let draft_set = work.change_sets().insert(&set(ChangeSetState::Draft, 2), &[made(1)]).await.unwrap();
    let approved_set =
        work.change_sets().insert(&set(ChangeSetState::Approved, 3), &[made(1)]).await.unwrap();
    work.change_sets().insert(&set(ChangeSetState::Discarded, 4), &[made(1)]).await.unwrap();
    let in_draft = PendingItem { change_set: Some(draft_set), ..first.clone() };
    assert_eq!(items(&mut *work, &[app], false).await, [in_draft, second.clone()]);
    assert!(work.items().approve(a, 1, AccountId(9)).await.unwrap());
    let in_approved = PendingItem { change_set: Some(approved_set), ..first };
    assert_eq!(items(&mut *work, &[app], true).await, [in_approved]);
    assert_eq!(items(&mut *work, &[app], false).await, std::slice::from_ref(&second));
    assert!(work.items().amend(a, &version(2)).await.unwrap());
    assert_eq!(items(&mut *work, &[app], false).await, [draft(a, app, AWKWARD, 2), second.clone()]);

    // What a grey release has is not open, until it ends; nor what is published or deleted.
    assert!(work.items().approve(a, 2, AccountId(9)).await.unwrap());
    work.releases().insert(&grey(a, 2)).await.unwrap();
    assert_eq!(items(&mut *work, &[app], true).await, []);
    work.releases().end(a, Some(ReleaseKind::Grey), ReleaseState::Aborted, 20).await.unwrap();
    assert_eq!(items(&mut *work, &[app], true).await, [draft(a, app, AWKWARD, 2)]);
    assert!(work.items().publish(a, 2, 21).await.unwrap());
    // A newer version that says the same is nothing to decide about; one with another description is.
    let like = |number, description: &str| {
        let mut like = version(2);
        like.version = number;
        like.content.description.push_str(description);
        like
    };
    assert!(work.items().amend(a, &like(3, "")).await.unwrap());
    assert_eq!(items(&mut *work, &[app], false).await, std::slice::from_ref(&second));
    assert!(work.items().amend(a, &like(4, "!")).await.unwrap());
    let described = PendingItem { version: 4, ..draft(a, app, AWKWARD, 2) };
    assert_eq!(items(&mut *work, &[app], false).await, [described, second]);
    assert!(work.items().approve(a, 4, AccountId(9)).await.unwrap());
    assert!(work.items().publish(a, 4, 22).await.unwrap());
    assert!(work.items().delete(b, 1, None).await.unwrap());
    assert_eq!(items(&mut *work, &[app], true).await, []);
    assert_eq!(items(&mut *work, &[app], false).await, []);

    let sets = |state, start| (state, ChangeSetId(start));
    for ((state, start), found) in [
        (sets(ChangeSetState::Draft, 0), vec![1, 2]),
        (sets(ChangeSetState::Draft, draft_set.0), vec![2]),
        (sets(ChangeSetState::Approved, 0), vec![3]),
    ] {
        let listed = work.pending().pending_sets(&[app, other], state, start, MANY).await.unwrap();
        assert_eq!(listed.iter().map(|set| set.author.0).collect::<Vec<_>>(), found);
    }
    let one = work.pending().pending_sets(&[app], ChangeSetState::Draft, ChangeSetId(0), 1).await.unwrap();
    assert_eq!(one, [ChangeSet { id: one[0].id, ..set(ChangeSetState::Draft, 1) }]);
    let elsewhere =
        work.pending().pending_sets(&[other], ChangeSetState::Draft, ChangeSetId(0), MANY).await.unwrap();
    assert_eq!(elsewhere, []);
    work.commit().await.unwrap();
}

/// An active grey release is one row, also of several items, with the first that is still released.
pub(crate) async fn greys(storage: Arc<dyn Storage>) {
    let (app, other) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (a, b) = (add_item(&storage, app, AWKWARD).await, add_item(&storage, app, "b").await);
    let c = add_item(&storage, other, "c").await;
    let mut work = storage.begin().await.unwrap();
    work.releases().insert(&release(a, 1)).await.unwrap();
    let head = work.releases().insert(&grey(a, 2)).await.unwrap();
    let part = Release { set: Some(head), title: String::new(), version: 0, ..grey(b, 3) };
    work.releases().insert_parts(&[part]).await.unwrap();
    let foreign = work.releases().insert(&grey(c, 4)).await.unwrap();
    let row = |release, app, item, key: &str, n| ActiveGrey {
        release,
        app,
        profile: "dev".into(),
        title: format!("{AWKWARD} {n}"),
        change_set: Some(ChangeSetId(n)),
        item,
        key: key.into(),
        version: n,
        items: 1,
        nodes: 2,
        publisher: AccountId(7),
        publish_time: moment(n),
    };
    let whole = ActiveGrey { items: 2, ..row(head, app, a, AWKWARD, 2) };
    let list = async |store: &mut dyn Repositories, apps: &[AppId], start, count| {
        store.pending().active_greys(apps, ReleaseId(start), count).await.unwrap()
    };
    let second = row(foreign, other, c, "c", 4);
    assert_eq!(list(&mut *work, &[app, other], 0, MANY).await, [whole.clone(), second.clone()]);
    assert_eq!(list(&mut *work, &[app, other], 0, 1).await, std::slice::from_ref(&whole));
    assert_eq!(list(&mut *work, &[app, other], head.0 + 1, MANY).await, std::slice::from_ref(&second));
    assert_eq!(list(&mut *work, &[app], 0, MANY).await, [whole]);
    work.releases().end(a, Some(ReleaseKind::Grey), ReleaseState::Superseded, 20).await.unwrap();
    let rest = ActiveGrey {
        item: b,
        key: "b".into(),
        version: 0,
        publish_time: moment(3),
        change_set: Some(ChangeSetId(3)),
        ..row(head, app, a, AWKWARD, 2)
    };
    assert_eq!(list(&mut *work, &[app], 0, MANY).await, [rest]);
    work.releases().end(b, None, ReleaseState::Aborted, 21).await.unwrap();
    assert_eq!(list(&mut *work, &[app, other], 0, MANY).await, [second]);
    work.commit().await.unwrap();
}

/// More drafts than a store answers at once are all looked through, and a list says where it ends early.
pub(crate) async fn more_than_a_batch(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_four_eyes_profiles(["prod"]);
    let fixture = Fixture::builder(storage.clone()).settings(settings).build();
    let owner = fixture.account("owner", Groups::NONE).await;
    let reader = fixture.account("reader", Groups::NONE).await;
    fixture.app(&owner, "app").await;
    fixture.grant(&owner, "app", &reader, Permission::Read).await;
    let app = storage.read().await.unwrap().apps().by_name("app").await.unwrap().unwrap().id;
    let own = ItemVersion { modifier: owner.id, ..version(1) };
    let own = (0..1001).map(|n| NewItem { key: format!("k{n}"), first: own.clone() });
    let own: Vec<_> = own.collect();
    let new: Vec<_> = (0..1100).map(|n| NewItem { key: format!("k{n}"), first: version(1) }).collect();
    let mut work = storage.begin().await.unwrap();
    work.items().insert_all(app, "prod", &own).await.unwrap().unwrap();
    work.items().insert_all(app, "dev", &new).await.unwrap().unwrap();
    work.commit().await.unwrap();
    let last = fixture.approved_item(&owner, &item_name("app", "last"), "1").await;
    let releases = fixture.pilothouse.releases();
    let page = |count| Page::new(None, Some(count)).unwrap();
    // Its own under four-eyes are passed over.
    let found = releases.pending(&owner, page(1000)).await.unwrap();
    let profile = |subject: &PendingSubject| match subject {
        PendingSubject::Item(item) => item.profile.clone(),
        PendingSubject::ChangeSet(set) => set.profile.clone(),
    };
    assert_eq!((found.to_approve.rows.len(), found.to_approve.has_more), (1000, true));
    assert!(found.to_approve.rows.iter().all(|change| profile(&change.subject) == "dev"));
    assert_eq!((found.to_publish.rows.len(), found.to_publish.has_more), (1, false));
    let by_reader = releases.pending(&reader, page(1000)).await.unwrap();
    assert!(by_reader.to_approve.rows.iter().all(|change| profile(&change.subject) == "prod"));
    assert_eq!(by_reader.to_publish, found.to_publish);
    releases.publish(&owner, last, &Selector::default(), None).await.unwrap();
    assert_eq!(releases.pending(&owner, page(1)).await.unwrap().to_publish.rows, []);
    // A whole list has no more.
    let items = fixture.pilothouse.items();
    items.create(&owner, &item_name("app", "more"), Content::default()).await.unwrap();
    items.approve(&owner, &item_name("app", "more"), None).await.unwrap();
    let found = releases.pending(&owner, page(1)).await.unwrap();
    assert_eq!((found.to_publish.rows.len(), found.to_publish.has_more), (1, false));
}
