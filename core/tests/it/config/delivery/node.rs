//! Nodes: registration, presence and leave.

use std::time::Duration;

use chrono::TimeDelta;
use pilothouse_core::ErrorKind;
use pilothouse_core::config::NewNode;
use tokio::time::timeout;

use super::fixture::{DeliveryFixture, new_node, revision};

#[tokio::test]
async fn a_node_is_online_while_its_lease_runs_or_its_watch_is_open() {
    let fixture = DeliveryFixture::new().await;
    let other = fixture.server();
    let session = fixture.session().await;
    let refused = session.node("dev", "11").await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (ErrorKind::NotFound, "the node does not exist")
    );
    fixture.register("11").await;
    fixture.register("22").await;
    let made = session.register(NewNode { node_id: None, ..new_node("") }).await.unwrap();
    assert_eq!((made.node_id.len(), made.lease, made.revision), (32, 15, revision(0)));
    assert_eq!(fixture.online(&other).await.len(), 3);
    let watch = fixture.watch("11", 0).await;
    for _ in 0..5 {
        fixture.clock.advance(TimeDelta::seconds(6));
        fixture.pilothouse.flush_reports().await.unwrap();
    }
    assert_eq!(fixture.online(&other).await, ["11"]);
    drop(watch);
    fixture.clock.advance(TimeDelta::seconds(14));
    assert_eq!(fixture.online(&other).await, ["11"], "until the lease ends");
    fixture.clock.advance(TimeDelta::seconds(6));
    assert_eq!(fixture.online(&other).await, [""; 0]);

    // Every request of a node renews its lease, also at another server.
    fixture.session_on(&other).await.node("dev", "22").await.unwrap().config(0).await.unwrap();
    assert_eq!(fixture.online(&other).await, ["22"]);
    let mut watch = fixture.watch("22", 0).await;
    fixture.session().await.node("dev", "22").await.unwrap().leave().await.unwrap();
    assert!(timeout(Duration::from_mins(1), watch.next()).await.unwrap().is_none(), "its watch ends");
    assert_eq!(fixture.online(&other).await, [""; 0]);
    assert_eq!(session.node("dev", "22").await.unwrap_err().kind(), ErrorKind::NotFound);
    fixture.register("22").await;
    assert_eq!(fixture.online(&other).await, ["22"]);
}

#[tokio::test]
async fn a_clock_that_was_ahead_keeps_nobody_online_and_nobody_away() {
    let fixture = DeliveryFixture::new().await;
    let other = fixture.server();
    fixture.clock.jump(TimeDelta::hours(8));
    for node in ["11", "22", "33"] {
        fixture.register(node).await;
    }
    let _watch = fixture.watch("11", 0).await;
    let ask = async || fixture.session().await.node("dev", "22").await.unwrap().config(0).await.unwrap();
    ask().await;
    fixture.pilothouse.flush_reports().await.unwrap();
    assert_eq!(fixture.online(&other).await.len(), 3);
    fixture.clock.jump(TimeDelta::hours(-8));
    for _ in 0..6 {
        ask().await;
        fixture.pilothouse.flush_reports().await.unwrap();
        assert_eq!(fixture.online(&other).await[..2], ["11", "22"]);
        fixture.clock.advance(TimeDelta::seconds(6));
    }
    assert_eq!(fixture.online(&other).await, ["11", "22"], "who does not ask goes with its lease");
}
