//! Snapshot file: offline start, corrupt files and file modes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pilothouse_client::{Client, Error, Status};
use serde_json::{Value, json};

use crate::fake_server::{FakeServer, client, event, eventually, item, unused_address};

#[tokio::test]
async fn a_program_starts_from_its_snapshot_while_the_server_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.json");
    let server = FakeServer::new(event(5, &[item("a", "1", 1), item("b", "2", 2)], &[])).await;
    let node_id = {
        let client = server.client().snapshot(&file).connect().await.unwrap();
        server.send_event(&event(6, &[item("a", "2", 2)], &[]));
        let saved = || fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""revision":6"#));
        eventually("the snapshot of revision 6", saved).await;
        client.node_id().to_owned()
    };
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["snapshot.json"], "no temporary file is left");

    let server = server.stop().await;
    let client = client(format!("http://{}", server.address())).snapshot(&file).connect().await.unwrap();
    assert!(matches!(client.status(), Status::Disconnected(_)));
    assert_eq!((client.get_str("a").as_deref(), client.get_str("b").as_deref()), (Some("2"), Some("2")));
    assert_eq!((client.revision(), client.node_id()), (6, node_id.as_str()));

    // The server's first event replaces the whole state of the snapshot.
    let mut changes = client.changes();
    server.script().full_state = event(7, &[item("a", "3", 3)], &[]);
    let server = server.start().await;
    let (a, b) = (changes.next().await.unwrap(), changes.next().await.unwrap());
    assert_eq!((&*a.key, a.new.as_deref(), &*b.key, b.new.as_deref()), ("a", Some("3"), "b", None));
    assert_eq!(server.script().resumed, [None, None]);
    let ids: Vec<_> = server.script().registered.iter().map(|body| body["nodeId"].clone()).collect();
    assert_eq!(ids, [json!(node_id), json!(node_id)], "a restart keeps the node id");
}

#[tokio::test]
async fn a_rejected_value_is_not_in_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.json");
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().snapshot(&file).on_change(|change| match change.new.as_deref() {
        Some("2") => Err("no".into()),
        _ => Ok(()),
    });
    let first = client.clone().connect().await.unwrap();
    server.send_event(&event(6, &[item("a", "2", 2)], &[]));
    let saved = || fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""revision":6"#));
    eventually("the snapshot", saved).await;
    drop(first);
    let text: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(text["held"]["items"]["a"], json!({"value": "1", "version": 1}));
    // After a restart the server sends the value again, and the program may accept it now.
    server.script().full_state = event(6, &[item("a", "2", 2)], &[]);
    let second = server.client().snapshot(&file).connect().await.unwrap();
    assert_eq!(second.get_str("a").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_corrupt_or_foreign_snapshot_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.json");
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    drop(server.client().snapshot(&file).connect().await.unwrap());
    eventually("the snapshot", || fs::read_to_string(&file).is_ok_and(|text| text.contains("revision")))
        .await;
    let good = fs::read_to_string(&file).unwrap();
    let down = unused_address().await;
    let start = async |app: &str, profile: &str| {
        let client = Client::builder(&down, app, "k").profile(profile).snapshot(&file);
        client.startup_timeout(Duration::from_millis(100)).connect().await
    };
    let usable = start("shop", "production").await.unwrap();
    assert_eq!(usable.get_str("a").as_deref(), Some("1"));
    drop(usable);
    for (app, profile, text) in [
        ("shop", "production", good.replace('}', "")),
        ("shop", "production", String::new()),
        ("shop", "production", "\0\0\0".to_owned()),
        ("shop", "staging", good.clone()),
        ("shed", "production", good.clone()),
    ] {
        fs::write(&file, text).unwrap();
        assert!(matches!(start(app, profile).await, Err(Error::Unreachable(_))), "{app} {profile}");
    }

    // A corrupt file with a wrong mode is replaced, and so is a half-written temporary file.
    fs::write(&file, "{").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(folder.path().join("snapshot.json.new"), "half").unwrap();
    let client = server.client().snapshot(&file).connect().await.unwrap();
    eventually("the snapshot", || fs::read_to_string(&file).is_ok_and(|text| text.contains("revision")))
        .await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_node_keeps_its_id_although_it_never_connected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.json");
    let server = FakeServer::new(event(5, &[], &[])).await;
    server.script().refusals.insert("/node/watch", vec![(500, 1); 100_000]);
    for _ in 0..2 {
        let failed =
            server.client().snapshot(&file).startup_timeout(Duration::from_millis(100)).connect().await;
        assert!(matches!(failed, Err(Error::Unreachable(_))));
    }
    let script = server.script();
    assert_eq!(script.registered.len(), 2);
    assert_eq!(script.registered[0]["nodeId"], script.registered[1]["nodeId"]);
}

#[tokio::test]
async fn a_client_works_without_writing_its_snapshot() {
    let server = FakeServer::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = server.client().snapshot("/nonexistent/folder/snapshot.json").connect().await.unwrap();
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
}
