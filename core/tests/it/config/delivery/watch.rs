//! Watches: deltas, drift, and servers that learn from each other.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::{AckResult, AppId, Content, ItemName, ReleaseState, Report, Selector};
use pilothouse_core::{Epoch, ErrorKind, Workers};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fixture::{DeliveryFixture, change_of_k, next_delta, ready_change, revision};

#[tokio::test]
async fn a_drifted_node_is_sent_the_expected_version_again() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    fixture.publish("first", &Selector::default()).await;
    fixture.publish("second", &Selector::default()).await;
    let mut watch = fixture.watch("11", revision(2)).await;
    assert_eq!(ready_change(&mut watch), None);
    fixture.ack("11", 2, AckResult::Applied).await;
    fixture.ack("11", 2, AckResult::Rejected).await;
    assert_eq!(
        ready_change(&mut watch),
        None,
        "a node with the expected version, or that rejected it, is sent nothing"
    );
    fixture.ack("11", 1, AckResult::Applied).await;
    let repeated = next_delta(&mut watch).await;
    assert_eq!((change_of_k(&repeated), repeated.revision), ((2, "second".into()), revision(2)));
    // Repeated at most once in a few seconds, so that a node which keeps its version causes no loop.
    fixture.ack("11", 1, AckResult::Applied).await;
    assert_eq!(ready_change(&mut watch), None);
    fixture.clock.advance(TimeDelta::seconds(6));
    assert_eq!(ready_change(&mut watch), Some((2, "second".into())));
    let stray =
        Report { key: "stray".into(), version: 9, result: AckResult::Applied, message: String::new() };
    fixture.session().await.node("dev", "11").await.unwrap().ack(vec![stray]).await.unwrap();
    fixture.clock.advance(TimeDelta::seconds(6));
    assert_eq!(ready_change(&mut watch), Some((0, "stray".into())));
}

#[tokio::test]
async fn a_publication_of_another_server_reaches_a_watch() {
    let fixture = DeliveryFixture::new().await;
    let other = fixture.server();
    fixture.register("11").await;
    let node = fixture.session_on(&other).await.node("dev", "11").await.unwrap();
    let mut watch = node.watch(0).await.unwrap();
    let cancel = CancellationToken::new();
    let working = tokio::spawn(Workers::new(other.clone()).run(cancel.clone()));
    tokio::task::yield_now().await;
    fixture.publish("first", &Selector::default()).await;
    assert_eq!(change_of_k(&*next_delta(&mut watch).await), (1, "first".into()));
    // A publication whose wake-up is lost is found by polling.
    let id = fixture.approved("second").await;
    let mut work = fixture.storage.begin().await.unwrap();
    assert!(work.items().publish(id, 2, 2).await.unwrap());
    work.apps().raise_revision(AppId(1)).await.unwrap();
    let old = work.releases().active(id).await.unwrap().remove(0);
    work.releases().end(id, None, ReleaseState::Superseded, 2).await.unwrap();
    let next = pilothouse_core::config::Release { version: 2, revision: 2, ..old };
    work.releases().insert(&next).await.unwrap();
    work.commit().await.unwrap();
    assert_eq!(change_of_k(&*next_delta(&mut watch).await), (2, "second".into()));
    // Drift reported to one server is answered by the server that the node watches.
    assert_eq!(fixture.session().await.snapshot_at(revision(2)).await.unwrap().revision(), revision(2));
    fixture.ack("11", 1, AckResult::Applied).await;
    assert_eq!(change_of_k(&*next_delta(&mut watch).await), (2, "second".into()));
    // A server that stops ends its watches.
    cancel.cancel();
    assert!(timeout(Duration::from_mins(1), watch.next()).await.unwrap().is_none());
    working.await.unwrap();
}

#[tokio::test]
async fn a_request_with_a_newer_revision_forces_a_reload() {
    let fixture = DeliveryFixture::new().await;
    let stale = fixture.server();
    fixture.register("11").await;
    let node = fixture.session_on(&stale).await.node("dev", "11").await.unwrap();
    assert_eq!(node.config(0).await.unwrap().delta.revision, revision(0));
    fixture.publish("first", &Selector::default()).await;
    assert_eq!(node.config(0).await.unwrap().delta.revision, revision(0), "the stale server got no wake-up");
    assert_eq!(change_of_k(&node.config(revision(1)).await.unwrap().delta), (1, "first".into()));
    fixture.publish("second", &Selector::default()).await;
    assert_eq!(ready_change(&mut node.watch(revision(2)).await.unwrap()), None);
    fixture.ack("11", 2, AckResult::Applied).await;
    // A node that is ahead of the store gets everything there is.
    let mut watch = node.watch(revision(1_000)).await.unwrap();
    let delta = watch.next().now_or_never().unwrap().unwrap();
    assert_eq!((change_of_k(&delta), delta.revision), ((2, "second".into()), revision(2)));
}

#[tokio::test]
async fn a_node_hundreds_of_revisions_behind_gets_one_delta() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    fixture.publish("first", &Selector::default()).await;
    fixture.pilothouse.items().delete(&fixture.owner, &item_name("app", "k"), None).await.unwrap();
    let other = ItemName { key: "other".into(), ..item_name("app", "k") };
    let items = fixture.pilothouse.items();
    let id = items.create(&fixture.owner, &other, Content::default()).await.unwrap();
    items.approve(&fixture.owner, &other, None).await.unwrap();
    for _ in 0..300 {
        fixture.pilothouse.releases().publish(&fixture.owner, id, &Selector::default(), None).await.unwrap();
    }
    for server in [fixture.pilothouse.clone(), fixture.server()] {
        let node = fixture.session_on(&server).await.node("dev", "11").await.unwrap();
        let delta = node.watch(revision(1)).await.unwrap().next().now_or_never().unwrap().unwrap();
        assert_eq!((delta.revision, delta.items.len()), (revision(302), 1));
        assert_eq!(delta.removed.iter().map(|key| &**key).collect::<Vec<_>>(), ["k"]);
        assert_eq!(
            ready_change(&mut node.watch(revision(300)).await.unwrap()),
            None,
            "the version did not change between these revisions"
        );
    }
}

/// A database was put back to an older state under the servers, which remember a newer one: the same numbers will stand for
/// other releases, so that they must not be taken for the old ones.
#[tokio::test]
async fn a_store_that_went_back_is_noticed() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    fixture.publish("first", &Selector::default()).await;
    let mut watch = fixture.watch("11", 0).await;
    assert_eq!(ready_change(&mut watch), Some((1, "first".into())));
    let before = fixture.session().await;
    // The newest release reaches the servers, and is lost.
    let backup = fixture.memory.fork();
    fixture.publish("second", &Selector::default()).await;
    assert_eq!(ready_change(&mut watch), Some((2, "second".into())));
    fixture.memory.replace_with(&backup);
    fixture.pilothouse.delivery().poll().await.unwrap();
    assert!(timeout(Duration::from_mins(1), watch.next()).await.unwrap().is_none(), "watches end");
    let epoch = fixture.pilothouse.store_identity().await.unwrap().epoch;
    assert!(epoch > Epoch(1));
    let mut watch = fixture.watch("11", revision(2)).await;
    let delta = next_delta(&mut watch).await;
    assert_eq!((change_of_k(&delta), delta.revision), ((1, "first".into()), epoch.revision(1)));
    // A session of before answers nothing of the lost history, and takes no watch of the present one along.
    let refused = before.snapshot_at(epoch.revision(2)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    fixture.publish("third", &Selector::default()).await;
    let delta = next_delta(&mut watch).await;
    assert_eq!((change_of_k(&delta), delta.revision), ((2, "third".into()), epoch.revision(2)));
}

/// On the server that deletes the key at once, on another one by its wake-up; watches with other keys stay.
#[tokio::test]
async fn a_deleted_key_ends_its_watches_on_every_server() {
    let fixture = DeliveryFixture::new().await;
    let other = fixture.server();
    let cancel = CancellationToken::new();
    let working = tokio::spawn(Workers::new(other.clone()).run(cancel.clone()));
    tokio::task::yield_now().await;
    fixture.register("11").await;
    let kept = fixture.pilothouse.app_keys().create(&fixture.owner, "app").await.unwrap();
    let mut watches = Vec::new();
    let mut staying = Vec::new();
    for server in [&fixture.pilothouse, &other] {
        let by_key = fixture.session_on(server).await;
        let by_signature = |key: &str| key == fixture.key;
        let by_signature = server.delivery().open_signed("app", by_signature).await.unwrap();
        for session in [by_key, by_signature] {
            watches.push(session.node("dev", "11").await.unwrap().watch(0).await.unwrap());
        }
        let session = server.delivery().open("app", &kept.text).await.unwrap();
        staying.push(session.node("dev", "11").await.unwrap().watch(0).await.unwrap());
    }
    let keys = fixture.pilothouse.app_keys().list(&fixture.owner, "app").await.unwrap();
    let deleted = keys.iter().find(|key| key.id != kept.id).unwrap();
    fixture.pilothouse.app_keys().delete(&fixture.owner, deleted.id).await.unwrap();
    for watch in &mut watches {
        assert!(timeout(Duration::from_mins(1), watch.next()).await.unwrap().is_none());
    }
    for watch in &mut staying {
        assert!(watch.next().now_or_never().is_none(), "another key ends nothing");
    }
    cancel.cancel();
    working.await.unwrap();
}
