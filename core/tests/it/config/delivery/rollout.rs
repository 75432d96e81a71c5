//! Rollouts: which nodes a release reaches, and what they acknowledged.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::{AckResult, NodeState, ReleaseState, Selector};
use pilothouse_core::{ErrorKind, Page};

use super::fixture::{DeliveryFixture, change_of_k, ready_change, revision, to_nodes};

#[tokio::test]
async fn a_grey_release_reaches_only_the_selected_nodes() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22", "33"] {
        fixture.register(node).await;
    }
    let (mut one, mut two) = (fixture.watch("11", 0).await, fixture.watch("22", 0).await);
    fixture.publish("first", &Selector::default()).await;
    for watch in [&mut one, &mut two] {
        assert_eq!(ready_change(watch), Some((1, "first".into())));
        assert_eq!(ready_change(watch), None);
    }
    let grey = fixture.publish("grey", &to_nodes("11,33")).await;
    assert_eq!((ready_change(&mut one), ready_change(&mut two)), (Some((2, "grey".into())), None));
    // A restart of a node or of the server changes nothing; a node registered later is not selected.
    fixture.register("11").await;
    fixture.register("44").await;
    let restarted = fixture.server();
    for (node, version) in [("11", 2), ("22", 1), ("33", 2), ("44", 1)] {
        for server in [&fixture.pilothouse, &restarted] {
            let node_session = fixture.session_on(server).await.node("dev", node).await.unwrap();
            assert_eq!(change_of_k(&node_session.config(0).await.unwrap().delta).0, version, "{node}");
            assert_eq!(
                ready_change(&mut node_session.watch(revision(2)).await.unwrap()),
                None,
                "{node} is up to date"
            );
            assert_eq!(ready_change(&mut node_session.watch(0).await.unwrap()).unwrap().0, version, "{node}");
        }
    }
    // Another grey release replaces it: nodes that are no longer selected get the full release again.
    fixture.publish("greyer", &to_nodes("22,33")).await;
    assert_eq!(ready_change(&mut one), Some((1, "first".into())));
    assert_eq!(ready_change(&mut two), Some((3, "greyer".into())));
    let releases = fixture.pilothouse.releases();
    assert_eq!(releases.abort(&fixture.owner, grey).await.unwrap_err().kind(), ErrorKind::Conflict);
    let listed = fixture
        .pilothouse
        .rollouts()
        .list(&fixture.owner, "app", "dev", Some("k"), Page::default())
        .await
        .unwrap();
    assert_eq!(listed[1].release.state, ReleaseState::Superseded);
    releases.abort(&fixture.owner, listed[0].release.id).await.unwrap();
    assert_eq!((ready_change(&mut one), ready_change(&mut two)), (None, Some((1, "first".into()))));
    assert_eq!(
        releases.promote(&fixture.owner, listed[2].release.id, false).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );

    let grey = fixture.publish("last", &to_nodes("11")).await;
    let grey_at = ready_change(&mut one);
    assert_eq!((grey_at, ready_change(&mut two)), (Some((4, "last".into())), None));
    // Promotion publishes the version that the nodes have, not the one written since.
    fixture.approved("written later").await;
    let promoted = releases.promote(&fixture.owner, grey, false).await.unwrap();
    assert_eq!((ready_change(&mut one), ready_change(&mut two)), (None, Some((4, "last".into()))));
    let item = fixture.pilothouse.items().find(&fixture.owner, &item_name("app", "k")).await.unwrap();
    assert_eq!((item.published_version, item.published_value.as_str()), (4, "last"));
    let listed = fixture
        .pilothouse
        .rollouts()
        .list(&fixture.owner, "app", "dev", None, Page::default())
        .await
        .unwrap();
    assert_eq!((listed[0].release.id, listed[1].release.state), (promoted.release, ReleaseState::Promoted));
    fixture.pilothouse.items().delete(&fixture.owner, &item_name("app", "k"), None).await.unwrap();
    assert_eq!(
        (ready_change(&mut one), ready_change(&mut two)),
        (Some((0, "k".into())), Some((0, "k".into())))
    );
}

#[tokio::test]
async fn the_status_of_a_release_counts_the_acknowledgements_of_its_nodes() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22", "33", "44"] {
        fixture.register(node).await;
    }
    let full = fixture.publish("first", &Selector::default()).await;
    let state = |state, version| (state, version, String::new());
    assert!(fixture.states(full).await.values().all(|found| *found == state(NodeState::Pending, 0)));
    let mut watches = Vec::new();
    for node in ["11", "22", "33"] {
        let mut watch = fixture.watch(node, 0).await;
        assert!(ready_change(&mut watch).is_some());
        watches.push(watch);
    }
    fixture.clock.advance(TimeDelta::milliseconds(20));
    fixture.ack("11", 1, AckResult::Applied).await;
    fixture.clock.advance(TimeDelta::milliseconds(20));
    fixture.ack("22", 1, AckResult::Rejected).await;
    let found = fixture.states(full).await;
    assert_eq!(found["11"], (NodeState::Applied, 1, "Applied 1".into()));
    assert_eq!(found["22"], (NodeState::Rejected, 0, "Rejected 1".into()));
    assert_eq!(found["33"], state(NodeState::Sent, 0));
    assert_eq!(found["44"], state(NodeState::Pending, 0));
    let status = fixture.pilothouse.rollouts().status(&fixture.owner, full).await.unwrap();
    assert_eq!(status.latency.unwrap().last, TimeDelta::milliseconds(20));
    assert_eq!(status.rollout.counts, [1, 1, 1, 1, 0, 0]);
    assert!(status.nodes[0].sent.unwrap() < status.nodes[0].acked.unwrap());

    // A server that has just started reports the same from the store alone.
    let restarted = fixture.server();
    assert_eq!(restarted.rollouts().status(&fixture.owner, full).await.unwrap(), status);

    // A grey release counts its nodes; when it is promoted, they already have the full release.
    let grey = fixture.publish("second", &to_nodes("11,22")).await;
    assert_eq!(fixture.states(grey).await.keys().collect::<Vec<_>>(), ["11", "22"]);
    assert!(ready_change(&mut watches[0]).is_some());
    fixture.ack("11", 2, AckResult::Applied).await;
    let promoted = fixture.pilothouse.releases().promote(&fixture.owner, grey, false).await.unwrap().release;
    let found = fixture.states(promoted).await;
    assert_eq!(found["11"], (NodeState::Applied, 2, "Applied 2".into()));
    assert_eq!(found["33"], state(NodeState::Pending, 0));
    assert_eq!(
        fixture.states(full).await["22"].2,
        "Rejected 1",
        "the acknowledgement of the earlier release is kept"
    );
    // A node that is away is offline, unless it had applied the release before.
    drop(watches);
    fixture.clock.advance(TimeDelta::seconds(60));
    let found = fixture.states(promoted).await;
    assert_eq!((found["11"].0, found["33"].0), (NodeState::Applied, NodeState::Offline));
}

#[tokio::test]
async fn delivery_records_of_ended_releases_are_pruned_after_92_days() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    let full = fixture.publish("first", &Selector::default()).await;
    let mut watch = fixture.watch("11", 0).await;
    assert!(ready_change(&mut watch).is_some());
    fixture.ack("11", 1, AckResult::Applied).await;
    let grey = fixture.publish("second", &to_nodes("11")).await;
    assert!(ready_change(&mut watch).is_some());
    fixture.ack("11", 2, AckResult::Applied).await;
    let promoted = fixture.pilothouse.releases().promote(&fixture.owner, grey, false).await.unwrap().release;
    let applied = async || {
        fixture.pilothouse.housekeep().await.unwrap();
        let list = fixture
            .pilothouse
            .rollouts()
            .list(&fixture.owner, "app", "dev", None, Page::default())
            .await
            .unwrap();
        let applied = |id| {
            let rollout = list.iter().find(|rollout| rollout.release.id == id).unwrap();
            (rollout.targets, rollout.counts[NodeState::Applied as usize])
        };
        [full, grey, promoted].map(applied)
    };
    fixture.clock.advance(TimeDelta::days(91));
    assert_eq!(applied().await, [(1, 1); 3]);
    fixture.clock.advance(TimeDelta::days(2));
    // The promoted release is active; its node had acknowledged it as the grey one.
    assert_eq!(applied().await, [(0, 0), (0, 0), (1, 1)]);
    assert_eq!(fixture.states(grey).await, BTreeMap::new());
    assert_eq!(fixture.states(promoted).await["11"], (NodeState::Applied, 2, "Applied 2".into()));
    let mut snapshot = fixture.storage.read().await.unwrap();
    assert_eq!(snapshot.deliveries().of_releases(&[full]).await.unwrap(), []);
}
