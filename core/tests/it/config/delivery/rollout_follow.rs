//! Rollouts that are followed: counts and changed nodes until nothing more is awaited.

use std::time::Duration;

use futures_util::FutureExt;
use pilothouse_core::ErrorKind;
use pilothouse_core::config::{
    AckResult, NodeState, Permission, ReleaseId, ReleaseState, RolloutChange, RolloutFollow, Selector,
};
use tokio::time::timeout;

use super::fixture::{DeliveryFixture, ready_change, to_nodes};

/// The next change of a rollout, which must come.
async fn next(follow: &mut RolloutFollow) -> RolloutChange {
    timeout(Duration::from_mins(1), follow.next()).await.unwrap().unwrap().unwrap()
}

fn states(change: &RolloutChange) -> Vec<(&str, NodeState)> {
    change.nodes.iter().map(|node| (&*node.node_id, node.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn changes_have_the_nodes_that_changed_and_end_when_all_have_answered() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22"] {
        fixture.register(node).await;
    }
    let release = fixture.publish("first", &Selector::default()).await;
    let rollouts = fixture.pilothouse.rollouts();
    let mut follow = rollouts.follow(&fixture.owner, release).await.unwrap();
    let first = follow.next().now_or_never().expect("the first change is told at once").unwrap().unwrap();
    assert_eq!(states(&first), [("11", NodeState::Pending), ("22", NodeState::Pending)]);
    assert_eq!((first.rollout.counts, first.is_settled), ([2, 0, 0, 0, 0, 0], false));

    let (mut one, mut two) = (fixture.watch("11", 0).await, fixture.watch("22", 0).await);
    assert!(ready_change(&mut one).is_some());
    let sent = next(&mut follow).await;
    assert_eq!((states(&sent), sent.rollout.counts), (vec![("11", NodeState::Sent)], [1, 1, 0, 0, 0, 0]));
    // Nothing is told where nothing changes.
    assert!(timeout(Duration::from_mins(5), follow.next()).await.is_err());
    fixture.ack("11", 1, AckResult::Applied).await;
    let applied = next(&mut follow).await;
    assert_eq!(states(&applied), [("11", NodeState::Applied)]);
    assert!(applied.latency.is_some() && !applied.is_settled);
    assert!(ready_change(&mut two).is_some());
    fixture.ack("22", 1, AckResult::Rejected).await;
    let last = next(&mut follow).await;
    assert_eq!((states(&last), last.is_settled), (vec![("22", NodeState::Rejected)], true));
    assert_eq!(last.nodes[0].message, "Rejected 1");
    assert_eq!(follow.next().await.unwrap(), None);

    // Of a release without nodes nothing is awaited, nor of one that has ended.
    let grey = fixture.publish("second", &to_nodes("11")).await;
    let mut follow = rollouts.follow(&fixture.owner, grey).await.unwrap();
    assert!(!next(&mut follow).await.is_settled);
    fixture.pilothouse.releases().abort(&fixture.owner, grey).await.unwrap();
    let last = next(&mut follow).await;
    assert_eq!((last.rollout.release.state, last.is_settled), (ReleaseState::Aborted, true));
    assert_eq!(follow.next().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_at_most_once_a_second_and_a_thousand_nodes_at_a_time() {
    let fixture = DeliveryFixture::new().await;
    let session = fixture.session().await;
    for node in 0..1500 {
        session.register(super::fixture::new_node(&format!("n{node:04}"))).await.unwrap();
    }
    let release = fixture.publish("first", &Selector::default()).await;
    let mut follow = fixture.pilothouse.rollouts().follow(&fixture.owner, release).await.unwrap();
    let begun = tokio::time::Instant::now();
    let (one, two) = (next(&mut follow).await, next(&mut follow).await);
    assert_eq!((one.nodes.len(), two.nodes.len()), (1000, 500));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let ids = |change: &RolloutChange| change.nodes.iter().map(|node| node.node_id.clone()).collect();
    let mut all: Vec<String> = ids(&one);
    all.extend::<Vec<String>>(ids(&two));
    assert_eq!(all, (0..1500).map(|node| format!("n{node:04}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn nodes_are_read_where_records_changed_and_every_few_seconds() {
    let fixture = DeliveryFixture::new().await;
    for node in ["11", "22"] {
        fixture.register(node).await;
    }
    let release = fixture.publish("first", &Selector::default()).await;
    let mut follow = fixture.pilothouse.rollouts().follow(&fixture.owner, release).await.unwrap();
    assert_eq!(next(&mut follow).await.rollout.counts, [2, 0, 0, 0, 0, 0]);
    // A node that comes changes no record.
    fixture.register("33").await;
    assert!(timeout(Duration::from_secs(3), follow.next()).await.is_err());
    assert_eq!(states(&next(&mut follow).await), [("33", NodeState::Pending)]);
    fixture.register("44").await;
    fixture.ack("11", 1, AckResult::Applied).await;
    let begun = tokio::time::Instant::now();
    let changed = next(&mut follow).await;
    assert_eq!(states(&changed), [("11", NodeState::Applied), ("44", NodeState::Pending)]);
    assert!(begun.elapsed() < Duration::from_secs(3));
    // Who follows later sees what the others do.
    let mut other = fixture.pilothouse.rollouts().follow(&fixture.owner, release).await.unwrap();
    assert_eq!(next(&mut other).await.rollout, changed.rollout);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_the_app_follows_nothing_and_not_any_longer() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    let release = fixture.publish("first", &Selector::default()).await;
    let rollouts = fixture.pilothouse.rollouts();
    let other = fixture.another_manager().await;
    let mut follow = rollouts.follow(&other, release).await.unwrap();
    assert!(!next(&mut follow).await.is_settled);
    let grants = fixture.pilothouse.grants();
    let grant = grants.list(&fixture.owner, "app").await.unwrap();
    let grant = grant.iter().find(|grant| grant.account == other.id).unwrap();
    assert_eq!(grant.permission, Permission::Manage);
    grants.delete(&fixture.owner, grant.id).await.unwrap();
    let refused = timeout(Duration::from_mins(1), follow.next()).await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    for id in [release, ReleaseId(99)] {
        assert_eq!(rollouts.follow(&other, id).await.unwrap_err().kind(), ErrorKind::Forbidden);
    }
    let absent = rollouts.follow(&fixture.owner, ReleaseId(99)).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Forbidden, "without a grant on all apps nothing is told");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_ends_what_is_followed_and_a_process_follows_no_more_than_256() {
    let fixture = DeliveryFixture::new().await;
    fixture.register("11").await;
    let release = fixture.publish("first", &Selector::default()).await;
    let rollouts = fixture.pilothouse.rollouts();
    let mut all = Vec::new();
    for _ in 0..256 {
        all.push(rollouts.follow(&fixture.owner, release).await.unwrap());
    }
    let refused = rollouts.follow(&fixture.owner, release).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooMany);
    let mut one = all.pop().unwrap();
    assert!(!next(&mut one).await.is_settled);
    rollouts.follow(&fixture.owner, release).await.unwrap_err();
    fixture.pilothouse.delivery().end_watches();
    assert_eq!(timeout(Duration::from_mins(1), one.next()).await.unwrap().unwrap(), None);
    drop(one);
    let mut again = rollouts.follow(&fixture.owner, release).await.unwrap();
    assert!(!next(&mut again).await.is_settled, "what begins afterwards goes on");
}
