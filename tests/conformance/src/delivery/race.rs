//! Races of releases, each of which would go wrong on a store whose locks do nothing.

use std::sync::Arc;

use pilothouse_core::ErrorKind;
use pilothouse_core::account::Groups;
use pilothouse_core::config::{NewNode, Permission, ReleaseState, Selector};
use pilothouse_core::ports::Storage;

use crate::Fixture;
use crate::race::{ROUNDS, both, kind, race};
use crate::rows::item_name;

/// A developer deletes what is being published: whoever comes second is refused.
pub(crate) async fn published_item_is_not_deleted_by_a_developer(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let (ann, bob) = (fixture.account("ann", Groups::NONE).await, fixture.account("bob", Groups::NONE).await);
    fixture.app(&ann, "app").await;
    fixture.grant(&ann, "app", &bob, Permission::Develop).await;
    for round in 0..ROUNDS {
        let name = item_name("app", &format!("k{round}"));
        let id = fixture.approved_item(&ann, &name, "").await;
        let (one, other) = (pilothouse.clone(), pilothouse.clone());
        let (by_ann, by_bob) = (ann.clone(), bob.clone());
        let (published, deleted) = both(
            async move { one.releases().publish(&by_ann, id, &Selector::default(), None).await },
            async move { other.items().delete(&by_bob, &name, None).await },
        )
        .await;
        let expected = if published.is_ok() {
            (None, Some(ErrorKind::Forbidden))
        } else {
            (Some(ErrorKind::NotFound), None)
        };
        assert_eq!((kind(&published), kind(&deleted)), expected, "round {round}");
    }
}

/// Publishes of one app at once: each has a revision of its own, without gaps, and the last is the app's.
pub(crate) async fn publishes_have_revisions_without_gaps(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(fixture.approved_item(&ann, &item_name("app", &format!("k{n}")), "").await);
    }
    let items = ids.clone();
    race(&storage, move |_, n| {
        let (pilothouse, ann) = (pilothouse.clone(), ann.clone());
        let id = items[usize::try_from(n).unwrap() % 4];
        async move { pilothouse.releases().publish(&ann, id, &Selector::default(), None).await.unwrap() }
    })
    .await;
    let mut snapshot = storage.read().await.unwrap();
    let app = snapshot.apps().by_name("app").await.unwrap().unwrap();
    let mut revisions = Vec::new();
    for id in ids {
        assert_eq!(snapshot.releases().active(id).await.unwrap().len(), 1);
    }
    for (release, _) in snapshot.releases().list(app.id, "dev", None, 100).await.unwrap() {
        revisions.push(release.revision);
    }
    revisions.sort_unstable();
    assert_eq!((revisions, app.revision), ((1..=16).collect(), 16));
}

/// A grey release is promoted, taken back and replaced at once, again and again: it ends once, in the way that was
/// acknowledged, and what is full follows without gap or overlap.
pub(crate) async fn grey_release_ends_once(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let pilothouse = &fixture.pilothouse;
    let ann = fixture.account("ann", Groups::NONE).await;
    fixture.app(&ann, "app").await;
    let feed = pilothouse.delivery().open_unsigned("app").await.unwrap().unwrap();
    let node = NewNode { profile: "dev".into(), node_id: Some("node".into()), ..NewNode::default() };
    feed.register(node).await.unwrap();
    let to_node = Selector { nodes: Some("node".parse().unwrap()), stays_grey: true, ..Selector::default() };
    for round in 0..ROUNDS {
        let id = fixture.approved_item(&ann, &item_name("app", &format!("k{round}")), "").await;
        let releases = pilothouse.releases();
        releases.publish(&ann, id, &Selector::default(), None).await.unwrap();
        let grey = releases.publish(&ann, id, &to_node, None).await.unwrap().release;
        let (server, by) = (pilothouse.clone(), ann.clone());
        let answers = race(&storage, move |_, n| {
            let (server, by) = (server.clone(), by.clone());
            async move {
                let releases = server.releases();
                match n {
                    0 => releases.publish(&by, id, &Selector::default(), None).await.map(|_| ()),
                    n if n % 2 == 0 => releases.abort(&by, grey).await,
                    _ => releases.promote(&by, grey, false).await.map(|_| ()),
                }
            }
        })
        .await;
        assert!(answers[0].is_ok(), "round {round}: {answers:?}");
        let ended: Vec<_> = (1..).zip(&answers[1..]).filter(|(_, answer)| answer.is_ok()).collect();
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(refused.into_iter().all(|error| error.kind() == ErrorKind::Conflict), "{answers:?}");
        let expected = match &ended[..] {
            [] => ReleaseState::Superseded,
            [(n, _)] if n % 2 == 0 => ReleaseState::Aborted,
            [_] => ReleaseState::Promoted,
            _ => panic!("round {round}: it ended again: {answers:?}"),
        };
        let mut snapshot = storage.read().await.unwrap();
        let ended = snapshot.releases().by_id(grey).await.unwrap().unwrap();
        assert_eq!(ended.state, expected, "round {round}: {answers:?}");
        let app = snapshot.apps().by_name("app").await.unwrap().unwrap();
        let key = format!("k{round}");
        let listed = snapshot.releases().list(app.id, "dev", Some(&key), 100).await.unwrap();
        let mut full: Vec<_> =
            listed.iter().map(|(release, _)| release).filter(|release| release.id != grey).collect();
        full.sort_unstable_by_key(|release| release.revision);
        let starts = full.iter().skip(1).map(|release| Some(release.revision)).chain([None]);
        assert!(full.iter().map(|release| release.end_revision).eq(starts), "round {round}: {full:?}");
        assert_eq!(full.len(), 2 + usize::from(expected == ReleaseState::Promoted));
    }
}
