//! Reconnects: lost connections, resumed watches, failover, refused keys, and deregistration.

use std::time::Duration;

use futures_util::StreamExt;
use pilothouse_client::{Error, Status};

use crate::fake_server::{FakeServer, client, event, eventually, item, unused_address};

#[tokio::test]
async fn a_resumed_watch_neither_loses_nor_repeats_changes() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    let mut changes = client.changes();
    server.send_event(&event(6, &[item("a", "2", 2)], &[]));
    assert_eq!(changes.next().await.unwrap().new.as_deref(), Some("2"));

    server.script().missed = Some(event(8, &[item("b", "2", 2)], &[]));
    server.close_watches();
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.new.as_deref()), ("b", Some("2")));
    server.close_watches();
    eventually("a third watch", || server.script().resumed.len() == 3).await;
    server.send_event(&event(9, &[item("a", "3", 3)], &[]));
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.new.as_deref()), ("a", Some("3")), "no change is repeated");
    let script = server.script();
    assert_eq!(script.resumed, [None, Some("6".into()), Some("8".into())]);
    assert_eq!(script.registered.len(), 1, "a lost connection does not register again");
}

#[tokio::test]
async fn a_truncated_event_is_not_applied() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    server.send_text("event: change\nid: 6\ndata: {\"Revision\":6,\"Items\":[{\"Key\":\"a\",\"Val");
    server.close_watches();
    eventually("another watch", || server.script().resumed.len() == 2).await;
    assert_eq!(server.script().resumed[1].as_deref(), Some("5"));
    assert_eq!((client.get_str("a").as_deref(), client.revision()), (Some("1"), 5));
    // An event that cannot be parsed ends the watch, too.
    server.send_text("event: change\ndata: {\"Revision\":\"six\"}\n\n");
    eventually("a third watch", || server.script().resumed.len() == 3).await;
}

#[tokio::test]
async fn a_watch_without_heartbeats_times_out() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().heartbeat(Duration::from_millis(100)).connect().await.unwrap();
    // Heartbeats for longer than the idle time-out keep the watch open.
    for _ in 0..20 {
        server.send_text(":\n\n");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.script().resumed.len(), 1);
    eventually("another watch", || server.script().resumed.len() >= 2).await;
    assert_eq!(server.script().resumed[1].as_deref(), Some("5"));
    drop(client);
}

#[tokio::test]
async fn a_lower_revision_replaces_the_whole_state() {
    let server = FakeServer::new(event(9, &[item("a", "1", 4), item("b", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    let mut changes = client.changes();
    server.script().missed = Some(event(3, &[item("a", "0", 2), item("c", "1", 1)], &[]));
    server.close_watches();
    let mut received = Vec::new();
    for _ in 0..3 {
        let change = changes.next().await.unwrap();
        received.push((change.key.to_string(), change.new.map(|value| value.to_string())));
    }
    assert_eq!(
        received,
        [("a".into(), Some("0".into())), ("b".into(), None), ("c".into(), Some("1".into()))]
    );
    assert_eq!((client.revision(), client.keys().len()), (3, 2));
    server.close_watches();
    eventually("a third watch", || server.script().resumed.len() == 3).await;
    assert_eq!(
        server.script().resumed[2].as_deref(),
        Some("3"),
        "the next watch resumes from the lower revision"
    );
}

#[tokio::test]
async fn an_unregistered_node_registers_again() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    server.script().registered.clear();
    server.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    server.close_watches();
    eventually("the missed value", || client.get_str("a").as_deref() == Some("2")).await;
    let script = server.script();
    assert_eq!(script.registered.len(), 1);
    assert_eq!(script.registered[0]["nodeId"], client.node_id());
    assert_eq!(script.resumed, [None, Some("5".into())]);
}

#[tokio::test]
async fn the_client_fails_over_to_the_next_server() {
    let (one, two) = (
        FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await,
        FakeServer::new(event(5, &[], &[])).await,
    );
    let client =
        client(unused_address().await).url(one.url()).url(format!("{}/", two.url())).connect().await.unwrap();
    assert_eq!(client.get_str("a").as_deref(), Some("1"), "the first server was never reachable");
    let mut statuses = client.statuses();
    two.script().registered.push(one.script().registered[0].clone());
    two.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    let _one = one.stop().await;
    eventually("the value of the second server", || client.get_str("a").as_deref() == Some("2")).await;
    assert_eq!(two.script().resumed, [Some("5".into())]);
    let mut last = statuses.next().await.unwrap();
    if let Status::Disconnected(_) = last {
        last = statuses.next().await.unwrap();
    }
    assert_eq!(last, Status::Connected);
}

#[tokio::test]
async fn the_client_keeps_its_state_through_a_long_outage() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    let server = server.stop().await;
    eventually("the disconnect", || matches!(client.status(), Status::Disconnected(_))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
    server.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    let _fake = server.start().await;
    eventually("the new value", || client.get_str("a").as_deref() == Some("2")).await;
    assert_eq!(client.status(), Status::Connected);
}

#[tokio::test]
async fn a_refused_key_is_reported_and_retried() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    server.script().refusals.insert("/node/register", vec![(200, 3)]);
    let refused = server.client().connect().await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(why) if why == "scripted code 3"), "{refused}");

    let client = server.client().connect().await.unwrap();
    server.script().refusals.insert("/node/watch", vec![(200, 4)]);
    server.close_watches();
    eventually("the refusal", || client.status() == Status::Refused("scripted code 4".into())).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
    eventually("another attempt", || client.status() == Status::Connected).await;
}

#[tokio::test]
async fn a_server_of_another_kind_counts_as_unreachable() {
    let server = FakeServer::new(event(5, &[], &[])).await;
    // The code of an unknown path is also the one of an unregistered node, so the status decides.
    server.script().refusals.insert("/node/register", vec![(404, 6); 100_000]);
    let failed = server.client().startup_timeout(Duration::from_millis(200)).connect().await.unwrap_err();
    assert!(matches!(&failed, Error::Unreachable(why) if why.contains("HTTP 404")), "{failed}");
    let failed = client(unused_address().await)
        .startup_timeout(Duration::from_millis(200))
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(failed, Error::Unreachable(_)), "{failed}");
}

#[tokio::test]
async fn leave_deregisters_the_node_and_the_last_drop_ends_the_task() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    client.leave().await.unwrap();
    assert_eq!(server.script().left.len(), 1);
    assert_eq!(server.script().left[0]["nodeId"], client.node_id());
    assert_eq!(server.outcomes()["a"].1, "applied", "pending acknowledgements are sent first");
    assert_eq!(
        (client.get_str("a").as_deref(), client.status()),
        (Some("1"), Status::Disconnected("left".into()))
    );
    client.leave().await.unwrap();
    assert_eq!(server.script().left.len(), 1);

    let client = server.client().connect().await.unwrap();
    let clone = client.clone();
    drop(client);
    server.send_event(&event(6, &[item("a", "2", 2)], &[]));
    eventually("a change in the clone", || clone.revision() == 6).await;
    let watches = server.script().resumed.len();
    drop(clone);
    server.close_watches();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        server.script().resumed.len(),
        watches,
        "the client reconnected after its last handle was dropped"
    );
}
