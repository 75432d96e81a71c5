//! Reads, the change stream, and the validation of the builder's options.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use pilothouse_client::{Client, Error, Status};
use serde::Deserialize;
use serde_json::json;

use crate::fake_server::{FakeServer, KEY, event, eventually, item};

#[derive(Debug, PartialEq, Deserialize)]
struct Limits {
    most: u32,
}

#[tokio::test]
async fn the_full_state_changes_and_removals_are_applied() {
    let first = [item("limits", r#"{"most":3}"#, 2), item("motto", "hello", 1), item("port", "80", 4)];
    let server = FakeServer::new(event(7, &first, &[])).await;
    let client = server.client().pid("12").ip("10.0.0.1".parse().unwrap()).label("zone", "a").node_id("n1");
    let client = client.connect().await.unwrap();
    assert_eq!((client.status(), client.revision(), client.node_id()), (Status::Connected, 7, "n1"));
    assert_eq!(*client.get::<Limits>("limits").unwrap().unwrap(), Limits { most: 3 });
    assert_eq!(*client.get::<u16>("port").unwrap().unwrap(), 80);
    assert_eq!(client.get::<String>("motto").unwrap().unwrap().as_str(), "hello");
    assert_eq!(client.get_str("limits").as_deref(), Some(r#"{"most":3}"#));
    assert_eq!(client.get::<u16>("nothing").unwrap(), None);
    assert_eq!(client.keys().iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["limits", "motto", "port"]);
    let wrong = client.get::<u16>("motto").unwrap_err();
    assert!(matches!(&wrong, Error::Value { key, .. } if key == "motto"), "{wrong}");
    {
        let script = server.script();
        let registered = json!({
            "app": "shop", "profile": "production", "pid": "12", "nodeId": "n1", "ip": "10.0.0.1",
            "labels": {"zone": "a"},
        });
        assert_eq!(script.registered, [registered]);
        assert!(script.authorizations.iter().all(|value| *value == format!("Bearer {KEY}")));
    }

    let mut changes = client.changes();
    server.send_text(": a heartbeat\n\n");
    server.send_text("event: change\nid: 8\ndata: {\"Revision\":8,");
    server.send_text("\"Items\":[{\"Key\":\"port\",\"Value\":\"81\",\"Version\":5}],\"Removed\":[]}\n\n");
    let change = changes.next().await.unwrap();
    assert_eq!(
        (&*change.key, change.old.as_deref(), change.new.as_deref()),
        ("port", Some("80"), Some("81"))
    );
    assert_eq!(change.parse::<u16>().unwrap(), Some(81));
    assert_eq!((*client.get::<u16>("port").unwrap().unwrap(), client.revision()), (81, 8));
    assert_eq!(
        *client.get::<Limits>("limits").unwrap().unwrap(),
        Limits { most: 3 },
        "keys outside the event keep their values"
    );

    server.send_event(&event(9, &[], &["motto"]));
    let change = changes.next().await.unwrap();
    assert_eq!((&*change.key, change.old.as_deref(), change.new.as_deref()), ("motto", Some("hello"), None));
    assert_eq!(change.parse::<u16>().unwrap(), None);
    assert_eq!((client.get_str("motto"), client.revision()), (None, 9));

    drop(client);
    assert_eq!(changes.next().await, None, "the changes end with the client");
}

#[tokio::test]
async fn an_app_without_publication_is_empty_and_connected() {
    let server = FakeServer::new(event(0, &[], &[])).await;
    let client = server.client().connect().await.unwrap();
    assert_eq!((client.status(), client.revision(), client.keys().len()), (Status::Connected, 0, 0));
    let mut statuses = client.statuses();
    server.close_watches();
    assert!(matches!(statuses.next().await, Some(Status::Disconnected(_))));
    assert_eq!(
        statuses.next().await,
        Some(Status::Connected),
        "a resumed watch without an event counts as connected"
    );
    server.send_event(&event(1, &[item("a", "1", 1)], &[]));
    eventually("the first value", || client.get_str("a").as_deref() == Some("1")).await;
}

#[tokio::test]
async fn a_parsed_value_is_cached_for_its_version() {
    let server =
        FakeServer::new(event(1, &[item("limits", r#"{"most":3}"#, 1), item("x", "1", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    let first = client.get::<Limits>("limits").unwrap().unwrap();
    server.send_event(&event(2, &[item("x", "2", 2)], &[]));
    eventually("the change of the other key", || client.revision() == 2).await;
    assert!(Arc::ptr_eq(&first, &client.get::<Limits>("limits").unwrap().unwrap()));
    assert_eq!(client.get::<String>("limits").unwrap().unwrap().as_str(), r#"{"most":3}"#);
    server.send_event(&event(3, &[item("limits", r#"{"most":4}"#, 2)], &[]));
    eventually("the new limits", || client.revision() == 3).await;
    assert_eq!(client.get::<Limits>("limits").unwrap().unwrap().most, 4);
    assert_eq!(first.most, 3, "a reference to the old value stays valid");
}

#[tokio::test]
async fn a_slow_reader_gets_the_final_state() {
    let server = FakeServer::new(event(1, &[item("a", "0", 1), item("b", "0", 1)], &[])).await;
    let client = server.client().connect().await.unwrap();
    let mut changes = client.changes();
    for n in 1..=1000 {
        server.send_event(&event(1 + n, &[item("a", &n.to_string(), 1 + n)], &[]));
    }
    server.send_event(&event(2000, &[item("b", "1", 2)], &[]));
    eventually("the last event", || client.revision() == 2000).await;
    let received = [changes.next().await.unwrap(), changes.next().await.unwrap()];
    let received = received.map(|change| (change.key.to_string(), change.old.unwrap(), change.new.unwrap()));
    assert_eq!(received, [("a".into(), "0".into(), "1000".into()), ("b".into(), "0".into(), "1".into())]);
    server.send_event(&event(2001, &[item("c", "1", 1)], &[]));
    assert_eq!(&*changes.next().await.unwrap().key, "c", "no older change was queued");
}

#[tokio::test]
async fn a_new_version_with_the_same_value_is_no_change() {
    let server = FakeServer::new(event(1, &[item("a", "1", 1)], &[])).await;
    let validated = Arc::new(Mutex::new(Vec::new()));
    let seen = validated.clone();
    let client = server.client().on_change(move |change| {
        seen.lock().unwrap().push(change.new.clone());
        Ok(())
    });
    let client = client.connect().await.unwrap();
    let mut changes = client.changes();
    server.send_event(&event(2, &[item("a", "1", 2)], &[]));
    server.send_event(&event(3, &[item("a", "2", 3)], &[]));
    assert_eq!(changes.next().await.unwrap().new.as_deref(), Some("2"));
    assert_eq!(*validated.lock().unwrap(), [Some("1".into()), Some("2".into())]);
    eventually("both versions acknowledged", || server.outcomes()["a"].0 == 3).await;
}

#[tokio::test]
async fn invalid_builder_options_are_refused() {
    let refused =
        async |builder: pilothouse_client::Builder| builder.connect().await.unwrap_err().to_string();
    let url = "http://127.0.0.1:1";
    assert_eq!(refused(Client::builder(url, "shop", "k")).await, "profile: must not be empty");
    assert_eq!(refused(Client::builder(url, "", "k").profile("p")).await, "app: must not be empty");
    assert_eq!(
        refused(Client::builder(url, "shop", "a\nb").profile("p")).await,
        "key: must contain only visible ASCII characters"
    );
    for wrong in ["ftp://h", "localhost:80", "http://h/?a"] {
        let refused = refused(Client::builder(wrong, "shop", "k").profile("p")).await;
        assert!(refused.starts_with("url: "), "{refused}");
    }
}
