//! Starting while no server answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pilothouse_client::{Client, Error, Status};
use serde_json::{Value, json};

use crate::fake::{Fake, client, event, eventually, item, nobody};

#[tokio::test]
async fn a_program_starts_while_its_server_is_down() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("snapshot.json");
    let fake = Fake::new(event(5, &[item("a", "1", 1), item("b", "2", 2)], &[])).await;
    let node_id = {
        let client = fake.client().snapshot(&file).connect().await.unwrap();
        fake.tell(&event(6, &[item("a", "2", 2)], &[]));
        let saved = || fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""revision":6"#));
        eventually("the snapshot of revision 6", saved).await;
        client.node_id().to_owned()
    };
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["snapshot.json"], "nothing is left beside it");

    let fake = fake.stop().await;
    let client = client(format!("http://{}", fake.address())).snapshot(&file).connect().await.unwrap();
    assert!(matches!(client.status(), Status::Disconnected(_)));
    assert_eq!((client.get_str("a").as_deref(), client.get_str("b").as_deref()), (Some("2"), Some("2")));
    assert_eq!((client.revision(), client.node_id()), (6, node_id.as_str()));

    // What the server says then is everything there is, whatever the snapshot said.
    let mut changes = client.changes();
    fake.script().everything = event(7, &[item("a", "3", 3)], &[]);
    let fake = fake.start().await;
    let (a, b) = (changes.next().await.unwrap(), changes.next().await.unwrap());
    assert_eq!((&*a.key, a.new.as_deref(), &*b.key, b.new.as_deref()), ("a", Some("3"), "b", None));
    assert_eq!(fake.script().resumed, [None, None]);
    let ids: Vec<_> = fake.script().registered.iter().map(|body| body["nodeId"].clone()).collect();
    assert_eq!(ids, [json!(node_id), json!(node_id)], "a restart is the same node");
}

#[tokio::test]
async fn what_was_rejected_is_in_no_snapshot() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("snapshot.json");
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().snapshot(&file).on_change(|change| match change.new.as_deref() {
        Some("2") => Err("no".into()),
        _ => Ok(()),
    });
    let first = client.clone().connect().await.unwrap();
    fake.tell(&event(6, &[item("a", "2", 2)], &[]));
    let saved = || fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""revision":6"#));
    eventually("the snapshot", saved).await;
    drop(first);
    let text: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(text["held"]["items"]["a"], json!({"value": "1", "version": 1}));
    // A restart is told again, and may take it now.
    fake.script().everything = event(6, &[item("a", "2", 2)], &[]);
    let second = fake.client().snapshot(&file).connect().await.unwrap();
    assert_eq!(second.get_str("a").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_file_that_is_broken_or_of_another_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("snapshot.json");
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    drop(fake.client().snapshot(&file).connect().await.unwrap());
    eventually("the snapshot", || fs::read_to_string(&file).is_ok_and(|text| text.contains("revision")))
        .await;
    let good = fs::read_to_string(&file).unwrap();
    let down = nobody().await;
    let start = async |app: &str, profile: &str| {
        let client = Client::builder(&down, app, "k").profile(profile).snapshot(&file);
        client.start_time(Duration::from_millis(100)).connect().await
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

    // One that is broken is replaced; one that was left half-written or open to others leaves no trace.
    fs::write(&file, "{").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(place.path().join("snapshot.json.new"), "half").unwrap();
    let client = fake.client().snapshot(&file).connect().await.unwrap();
    eventually("the snapshot", || fs::read_to_string(&file).is_ok_and(|text| text.contains("revision")))
        .await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_node_keeps_its_id_though_it_was_never_told_anything() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("snapshot.json");
    let fake = Fake::new(event(5, &[], &[])).await;
    fake.script().refusals.insert("/node/watch", vec![(500, 1); 100_000]);
    for _ in 0..2 {
        let failed = fake.client().snapshot(&file).start_time(Duration::from_millis(100)).connect().await;
        assert!(matches!(failed, Err(Error::Unreachable(_))));
    }
    let script = fake.script();
    assert_eq!(script.registered.len(), 2);
    assert_eq!(script.registered[0]["nodeId"], script.registered[1]["nodeId"]);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_costs_nothing_else() {
    let fake = Fake::new(event(5, &[item("a", "1", 1)], &[])).await;
    let client = fake.client().snapshot("/nonexistent/folder/snapshot.json").connect().await.unwrap();
    assert_eq!(client.get_str("a").as_deref(), Some("1"));
}
