//! Connections that break, servers that go, keys that are refused.

use std::time::Duration;

use futures_util::StreamExt;
use pilothouse_client::{Error, Status};

use crate::fake::{Fake, client, event, eventually, item, nobody};

#[tokio::test]
async fn a_watch_resumes_without_loss_or_repetition() {
    let fake = Fake::new(event(5, &[item("a", "1", 1), item("b", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    let mut changes = client.changes();
    fake.tell(&event(6, &[item("a", "2", 2)], &[]));
    assert_eq!(changes.next().await.unwrap().new.as_deref(), Some("2"));

    fake.script().missed = Some(event(8, &[item("b", "2", 2)], &[]));
    fake.cut();
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.new.as_deref()), ("b", Some("2")));
    fake.cut();
    eventually("a third watch", || fake.script().resumed.len() == 3).await;
    fake.tell(&event(9, &[item("a", "3", 3)], &[]));
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.new.as_deref()), ("a", Some("3")), "nothing came twice");
    let script = fake.script();
    assert_eq!(script.resumed, [None, Some("6".into()), Some("8".into())]);
    assert_eq!(script.registered.len(), 1, "a broken connection is no new registration");
}

#[tokio::test]
async fn an_event_cut_in_half_was_never_told() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    fake.send("event: change\nid: 6\ndata: {\"Revision\":6,\"Items\":[{\"Key\":\"a\",\"Val");
    fake.cut();
    eventually("another watch", || fake.script().resumed.len() == 2).await;
    assert_eq!(fake.script().resumed[1].as_deref(), Some("5"));
    assert_eq!((client.get_str("a").as_deref(), client.revision()), (Some("1"), 5));
    // What cannot be read ends the watch, too.
    fake.send("event: change\ndata: {\"Revision\":\"six\"}\n\n");
    eventually("a third watch", || fake.script().resumed.len() == 3).await;
}

#[tokio::test]
async fn silence_is_the_end_of_a_watch() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().heartbeat(Duration::from_millis(100)).connect().await.unwrap();
    // Signs of life for longer than the silence that is allowed.
    for _ in 0..20 {
        fake.send(":\n\n");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fake.script().resumed.len(), 1);
    eventually("another watch", || fake.script().resumed.len() >= 2).await;
    assert_eq!(fake.script().resumed[1].as_deref(), Some("5"));
    drop(client);
}

#[tokio::test]
async fn a_smaller_revision_replaces_everything() {
    let fake = Fake::new(event(9, &[item("a", "1", 4), item("b", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    let mut changes = client.changes();
    fake.script().missed = Some(event(3, &[item("a", "0", 2), item("c", "1", 1)], &[]));
    fake.cut();
    let mut told = Vec::new();
    for _ in 0..3 {
        let change = changes.next().await.unwrap();
        told.push((change.key.to_string(), change.new.map(|value| value.to_string())));
    }
    assert_eq!(told, [("a".into(), Some("0".into())), ("b".into(), None), ("c".into(), Some("1".into()))]);
    assert_eq!((client.revision(), client.keys().len()), (3, 2));
    fake.cut();
    eventually("a third watch", || fake.script().resumed.len() == 3).await;
    assert_eq!(fake.script().resumed[2].as_deref(), Some("3"), "it goes on from there");
}

#[tokio::test]
async fn a_node_that_is_not_known_registers_again() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    fake.script().registered.clear();
    fake.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    fake.cut();
    eventually("the value after it", || client.get_str("a").as_deref() == Some("2")).await;
    let script = fake.script();
    assert_eq!(script.registered.len(), 1);
    assert_eq!(script.registered[0]["nodeId"], client.node_id());
    assert_eq!(script.resumed, [None, Some("5".into())]);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let (one, two) =
        (Fake::new(event(5, &[item("a", "1", 1)], &[])).await, Fake::new(event(5, &[], &[])).await);
    let client =
        client(nobody().await).url(one.url()).url(format!("{}/", two.url())).connect().await.unwrap();
    assert_eq!(client.get_str("a").as_deref(), Some("1"), "the first server was down from the start");
    let mut statuses = client.statuses();
    two.script().registered.push(one.script().registered[0].clone());
    two.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    let _one = one.stop().await;
    eventually("the value of the other", || client.get_str("a").as_deref() == Some("2")).await;
    assert_eq!(two.script().resumed, [Some("5".into())]);
    let mut last = statuses.next().await.unwrap();
    if let Status::Disconnected(_) = last {
        last = statuses.next().await.unwrap();
    }
    assert_eq!(last, Status::Connected);
}

#[tokio::test]
async fn a_server_may_be_away_for_long() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    let fake = fake.stop().await;
    eventually("the loss", || matches!(client.status(), Status::Disconnected(_))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
    fake.script().missed = Some(event(6, &[item("a", "2", 2)], &[]));
    let _fake = fake.start().await;
    eventually("the new value", || client.get_str("a").as_deref() == Some("2")).await;
    assert_eq!(client.status(), Status::Connected);
}

#[tokio::test]
async fn a_refused_key_is_said_and_tried_again_seldom() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    fake.script().refusals.insert("/node/register", vec![(200, 3)]);
    let refused = fake.client().connect().await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(why) if why == "told to answer 3"), "{refused}");

    let client = fake.client().connect().await.unwrap();
    fake.script().refusals.insert("/node/watch", vec![(200, 4)]);
    fake.cut();
    eventually("the refusal", || client.status() == Status::Refused("told to answer 4".into())).await;
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
    eventually("another attempt", || client.status() == Status::Connected).await;
}

#[tokio::test]
async fn what_is_no_pilothouse_server_is_no_answer() {
    let fake = Fake::new(event(5, &[], &[])).await;
    // An unknown path has the code of an unknown node.
    fake.script().refusals.insert("/node/register", vec![(404, 6); 100_000]);
    let failed = fake.client().start_time(Duration::from_millis(200)).connect().await.unwrap_err();
    assert!(matches!(&failed, Error::Unreachable(why) if why.contains("HTTP 404")), "{failed}");
    let failed = client(nobody().await).start_time(Duration::from_millis(200)).connect().await.unwrap_err();
    assert!(matches!(failed, Error::Unreachable(_)), "{failed}");
}

#[tokio::test]
async fn leaving_and_dropping() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().connect().await.unwrap();
    client.leave().await.unwrap();
    assert_eq!(fake.script().left.len(), 1);
    assert_eq!(fake.script().left[0]["nodeId"], client.node_id());
    assert_eq!(fake.outcomes()["a"].1, "applied", "what was to be told was told before");
    assert_eq!(
        (client.get_str("a").as_deref(), client.status()),
        (Some("1"), Status::Disconnected("left".into()))
    );
    client.leave().await.unwrap();
    assert_eq!(fake.script().left.len(), 1);

    let client = fake.client().connect().await.unwrap();
    let clone = client.clone();
    drop(client);
    fake.tell(&event(6, &[item("a", "2", 2)], &[]));
    eventually("a change in the clone", || clone.revision() == 6).await;
    let watches = fake.script().resumed.len();
    drop(clone);
    fake.cut();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fake.script().resumed.len(), watches, "nobody came back");
}
