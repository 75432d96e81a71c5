//! Releases: state, range of revisions, history after a revision.

use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, ChangeSetId, ReleaseId};
use std::sync::Arc;

use pilothouse_core::account::Groups;
use pilothouse_core::config::{Deliverable, ItemId, NewNode, Release, ReleaseKind, ReleaseState, Selector};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Page, Settings};

use crate::Fixture;
use crate::rows::{AWKWARD, add_app, add_item, item_name, moment, version};

/// A full release that is active.
pub fn release(item: ItemId, version: i64) -> Release {
    Release {
        id: ReleaseId::UNSAVED,
        set: None,
        title: format!("{AWKWARD} {version}"),
        change_set: Some(ChangeSetId(version)),
        item,
        version,
        kind: ReleaseKind::Full,
        state: ReleaseState::Active,
        publisher: AccountId(7),
        publish_time: moment(version),
        revision: version + 10,
        end_revision: None,
        nodes: Vec::new(),
        origin: None,
    }
}

pub(crate) fn grey(item: ItemId, version: i64) -> Release {
    let nodes = vec!["11".into(), "fe80::1%eth0".into()];
    Release { kind: ReleaseKind::Grey, nodes, origin: Some(ReleaseId(7)), ..release(item, version) }
}

/// Releases keep all they are; ending touches one item's active ones of a kind.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, "other").await);
    let mut work = storage.begin().await.unwrap();
    let releases = work.releases();
    let full = releases.insert(&release(id, 1)).await.unwrap();
    let kept = releases.insert(&release(other, 1)).await.unwrap();
    let part = releases.insert(&grey(id, 2)).await.unwrap();
    assert!(full < kept && kept < part);
    let (full_row, part_row) = (Release { id: full, ..release(id, 1) }, Release { id: part, ..grey(id, 2) });
    let kept_row = Release { id: kept, ..release(other, 1) };
    assert_eq!(releases.active(id).await.unwrap(), [full_row.clone(), part_row.clone()]);
    assert_eq!(releases.by_id(part).await.unwrap(), Some(part_row.clone()));
    assert_eq!(releases.by_id(ReleaseId(part.0 + 1)).await.unwrap(), None);

    releases.end(id, Some(ReleaseKind::Grey), ReleaseState::Aborted, 20).await.unwrap();
    let aborted = Release { state: ReleaseState::Aborted, end_revision: Some(20), ..part_row };
    assert_eq!(releases.by_id(part).await.unwrap(), Some(aborted.clone()));
    assert_eq!(releases.active(id).await.unwrap(), std::slice::from_ref(&full_row));
    releases.end(id, None, ReleaseState::Superseded, 21).await.unwrap();
    let superseded = Release { state: ReleaseState::Superseded, end_revision: Some(21), ..full_row };
    assert_eq!(releases.active(id).await.unwrap(), []);
    assert_eq!(releases.by_id(part).await.unwrap(), Some(aborted.clone()), "what ended stays as it ended");

    let listed = [(aborted, "k".into()), (kept_row.clone(), "other".into()), (superseded, "k".into())];
    assert_eq!(releases.list(app, "dev", None, 10).await.unwrap(), listed);
    assert_eq!(releases.list(app, "dev", None, 2).await.unwrap(), listed[..2]);
    assert_eq!(releases.list(app, "dev", Some("other"), 10).await.unwrap(), [(kept_row, "other".into())]);
    assert_eq!(releases.list(app, "prod", None, 10).await.unwrap(), []);
    assert_eq!(releases.list(AppId(app.0 + 1), "dev", None, 10).await.unwrap(), []);
}

/// Releases that began or ended after a revision are found, active ones with their values; a full read finds those in
/// effect.
pub(crate) async fn since(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (id, other) = (add_item(&storage, app, "k").await, add_item(&storage, app, AWKWARD).await);
    let elsewhere = add_item(&storage, add_app(&storage, 2).await, "k").await;
    let mut work = storage.begin().await.unwrap();
    assert!(work.items().amend(id, &version(2)).await.unwrap());
    let releases = work.releases();
    let at = |release: Release, revision: i64| Release { revision, ..release };
    let first = releases.insert(&at(release(id, 1), 1)).await.unwrap();
    releases.insert(&at(release(elsewhere, 1), 9)).await.unwrap();
    let lone = releases.insert(&at(release(other, 1), 2)).await.unwrap();
    releases.end(id, None, ReleaseState::Superseded, 3).await.unwrap();
    let second = releases.insert(&at(release(id, 2), 3)).await.unwrap();
    let part = releases.insert(&at(grey(id, 1), 4)).await.unwrap();
    releases.end(other, None, ReleaseState::Superseded, 5).await.unwrap();
    let ids = |found: Vec<Deliverable>| found.into_iter().map(|found| found.release.id).collect::<Vec<_>>();
    assert_eq!(ids(releases.since(app, 0, false).await.unwrap()), [first, lone, second, part]);
    assert_eq!(ids(releases.since(app, 2, false).await.unwrap()), [first, lone, second, part]);
    assert_eq!(ids(releases.since(app, 3, false).await.unwrap()), [lone, part]);
    assert_eq!(ids(releases.since(app, 5, false).await.unwrap()), []);
    assert_eq!(
        ids(releases.since(app, 5, true).await.unwrap()),
        [first, lone, second, part],
        "the last to begin and to end, and the active"
    );
    let found = releases.since(app, 4, true).await.unwrap();
    let row = |release: Release, key: &str, value: Option<Arc<str>>| Deliverable {
        release,
        profile: "dev".into(),
        key: key.into(),
        value,
    };
    let ended = Release {
        id: lone,
        state: ReleaseState::Superseded,
        end_revision: Some(5),
        ..at(release(other, 1), 2)
    };
    assert_eq!(found[0].release.id, first);
    assert_eq!(found[1], row(ended, AWKWARD, None));
    let value = |n: i64| Some(Arc::from(version(n).content.value));
    assert_eq!(found[2], row(Release { id: second, ..at(release(id, 2), 3) }, "k", value(2)));
    assert_eq!(found[3], row(Release { id: part, ..at(grey(id, 1), 4) }, "k", value(1)));
}

/// The parts of a release are found by the first of them and end one by one; a list names each release once.
pub(crate) async fn sets(storage: Arc<dyn Storage>) {
    let app = add_app(&storage, 1).await;
    let (a, b) = (add_item(&storage, app, "a").await, add_item(&storage, app, AWKWARD).await);
    let mut work = storage.begin().await.unwrap();
    let releases = work.releases();
    let at = |release: Release, revision: i64| Release { revision, ..release };
    let first = releases.insert(&at(release(a, 1), 1)).await.unwrap();
    releases.end_all(&[a, b], ReleaseKind::Full, ReleaseState::Superseded, 2).await.unwrap();
    let second = releases.insert(&at(release(a, 0), 2)).await.unwrap();
    let part = Release { set: Some(second), title: String::new(), ..at(release(b, 1), 2) };
    releases.insert_parts(std::slice::from_ref(&part)).await.unwrap();
    let third = releases.insert(&at(grey(b, 1), 3)).await.unwrap();
    let parts = releases.parts(&[second]).await.unwrap();
    let [(head, head_key), (other, other_key)] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!((&**head_key, &**other_key), ("a", AWKWARD));
    assert_eq!(*head, Release { id: second, ..at(release(a, 0), 2) });
    assert_eq!(*other, Release { id: other.id, ..part });
    assert!(other.id > second && other.head() == second && head.head() == second);
    assert_eq!(releases.parts(&[]).await.unwrap(), []);
    let ids = |found: Vec<Release>| found.into_iter().map(|found| found.id).collect::<Vec<_>>();
    assert_eq!(ids(releases.active_of(&[b, a]).await.unwrap()), [second, other.id, third]);
    assert_eq!(releases.with_active(&[a, b]).await.unwrap(), [b], "a deletion releases nothing");
    assert_eq!(ids(releases.ended_at(&[a, b], 2).await.unwrap()), [first]);
    assert_eq!(ids(releases.ended_at(&[b], 2).await.unwrap()), []);

    let page = Page::at(0, 10);
    assert_eq!(releases.list_sets(app, "dev", None, page).await.unwrap(), [third, second, first]);
    assert_eq!(releases.list_sets(app, "dev", Some("a"), page).await.unwrap(), [second, first]);
    assert_eq!(releases.list_sets(app, "dev", Some(AWKWARD), page).await.unwrap(), [third, second]);
    assert_eq!(releases.list_sets(app, "dev", None, Page::at(second.0, 1)).await.unwrap(), [third]);
    let older = Page { before: third.0, ..page };
    assert_eq!(releases.list_sets(app, "dev", None, older).await.unwrap(), [second, first]);
    assert_eq!(releases.list_sets(app, "prod", None, page).await.unwrap(), []);
    releases.end_all(&[a, b], ReleaseKind::Grey, ReleaseState::Aborted, 4).await.unwrap();
    releases.end_all(&[b], ReleaseKind::Full, ReleaseState::Superseded, 5).await.unwrap();
    let ended = releases.parts(&[second, third]).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|(part, _)| (part.state, part.end_revision)).collect();
    let (active, over) = (ReleaseState::Active, ReleaseState::Superseded);
    assert_eq!(ended, [(active, None), (over, Some(5)), (ReleaseState::Aborted, Some(4))]);
}

/// A release that names all the nodes online, and nothing else, is a full one, unless it says or the settings say otherwise.
pub(crate) async fn naming_all_online_is_full(storage: Arc<dyn Storage>) {
    let settings = Settings::default().with_nodes_all_online_is_full(false);
    let grey_always = Fixture::builder(storage.clone()).settings(settings).build().pilothouse;
    let fixture = Fixture::new(storage);
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let id = fixture.approved_item(&ann, &item_name("app", "k"), "1").await;
    let session = fixture.pilothouse.delivery().open_unsigned("app").await.unwrap().unwrap();
    let node = |id: &str| NewNode { profile: "dev".into(), node_id: Some(id.into()), ..NewNode::default() };
    for online in ["11", "22", "33"] {
        session.register(node(online)).await.unwrap();
    }
    session.node("dev", "33").await.unwrap().leave().await.unwrap();
    let named = |nodes: &str| Selector { nodes: Some(nodes.parse().unwrap()), ..Selector::default() };
    let labelled = Selector { percent: Some(100.try_into().unwrap()), ..named("11,22") };
    let kept_grey = Selector { stays_grey: true, ..named("11,22") };
    for (server, selector, kind) in [
        (&fixture.pilothouse, named("11"), ReleaseKind::Grey),
        (&fixture.pilothouse, named("11,22,33"), ReleaseKind::Grey),
        (&fixture.pilothouse, labelled, ReleaseKind::Grey),
        (&fixture.pilothouse, kept_grey, ReleaseKind::Grey),
        (&grey_always, named("11,22"), ReleaseKind::Grey),
        (&fixture.pilothouse, named(" 22, 11,"), ReleaseKind::Full),
    ] {
        let released = server.releases().publish(&ann, id, &selector, None).await.unwrap();
        assert_eq!(released.kind, kind, "{selector:?}");
    }
    let item = fixture.pilothouse.items().find(&ann, &item_name("app", "k")).await.unwrap();
    assert_eq!(item.published_version, 1);
}
