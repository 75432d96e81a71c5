//! Each event, queued with its deed and with nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use pilothouse_conformance::doubles::{Reply, ScriptedProvider};
use pilothouse_core::config::{AckResult, Change, ContentChange, ItemChange, NewChangeSet, Report, Selector};
use pilothouse_core::ports::ProviderError;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use super::{events, subscribed};
use crate::cdn::CdnFixture;
use crate::config::delivery::fixture::{DeliveryFixture, to_nodes};

/// An object with the members of another one added.
fn with(mut data: Value, mut more: Value) -> Value {
    data.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    data
}

#[tokio::test]
async fn releases_are_told() {
    let fixture = DeliveryFixture::with(subscribed()).await;
    let releases = fixture.pilothouse.releases();
    fixture.register("n1").await;
    let full = fixture.publish("1", &Selector::default()).await;
    let grey = fixture.publish("2", &to_nodes("n1")).await;
    releases.abort(&fixture.owner, grey).await.unwrap();
    let again = fixture.publish("3", &to_nodes("n1")).await;
    let promoted = releases.promote(&fixture.owner, again, false).await.unwrap().release;
    releases.abort(&fixture.owner, again).await.unwrap_err();
    let about = |release: i64, version: i64| {
        let item = json!({"app": "app", "profile": "dev", "key": "k", "by": "owner", "items": 1});
        with(item, json!({"release": release, "version": version}))
    };
    let published = |kind: &str| json!({"kind": kind, "targets": 1});
    let expected = [
        ("release.published", with(about(full.0, 1), published("full"))),
        ("release.published", with(about(grey.0, 2), published("grey"))),
        ("release.aborted", about(grey.0, 2)),
        ("release.published", with(about(again.0, 3), published("grey"))),
        ("release.promoted", with(about(promoted.0, 3), json!({"grey": again.0, "targets": 1}))),
    ];
    let expected = expected.map(|(event, data)| (event.to_owned(), data));
    assert_eq!(events(&*fixture.storage).await, expected);
}

#[tokio::test]
async fn a_rejection_is_told_once_per_node() {
    let fixture = DeliveryFixture::with(subscribed()).await;
    for node in ["n1", "n2", "n3"] {
        fixture.register(node).await;
    }
    let release = fixture.publish("1", &Selector::default()).await;
    for (node, result) in [
        ("n1", AckResult::Rejected),
        ("n1", AckResult::Rejected),
        ("n2", AckResult::Applied),
        ("n3", AckResult::Failed),
        ("n2", AckResult::Rejected),
    ] {
        fixture.clock.advance(chrono::TimeDelta::seconds(1));
        fixture.ack(node, 1, result).await;
    }
    let rejected = |node: &str| {
        let item = json!({"app": "app", "profile": "dev", "key": "k", "release": release.0, "version": 1, "items": 1});
        let said = json!({"node": node, "message": "Rejected 1"});
        ("release.rejected".to_owned(), with(item, said))
    };
    assert_eq!(events(&*fixture.storage).await[1..], ["n1", "n2"].map(rejected));
}

#[tokio::test]
async fn a_set_is_one_event_and_its_rejection_one_per_node() {
    let fixture = DeliveryFixture::with(subscribed()).await;
    for node in ["n1", "n2"] {
        fixture.register(node).await;
    }
    let change = |key: &str| Change {
        key: key.to_owned(),
        seen: None,
        item: ItemChange::Content(ContentChange { value: Some("1".into()), ..ContentChange::default() }),
    };
    let set = NewChangeSet {
        app: "app".into(),
        profile: "dev".into(),
        changes: ["k", "l", "m"].map(change).into(),
        ..NewChangeSet::default()
    };
    let applied = fixture.pilothouse.change_sets().apply_and_publish(&fixture.owner, set).await.unwrap();
    let release = applied.released.unwrap().release;
    for node in ["n1", "n2"] {
        let report = |(key, result): (&str, AckResult)| Report {
            key: key.to_owned(),
            version: 1,
            result,
            message: format!("not {key}"),
        };
        let results = [("k", AckResult::Rejected), ("l", AckResult::Applied), ("m", AckResult::Applied)];
        let session = fixture.session().await.node("dev", node).await.unwrap();
        session.ack(results.map(report).into()).await.unwrap();
    }
    let back = fixture.pilothouse.releases().roll_back(&fixture.owner, release).await.unwrap().release;
    let about = |release: i64, version: i64| json!({"app": "app", "profile": "dev", "key": "k", "items": 3, "release": release, "version": version});
    let published = json!({"by": "owner", "kind": "full", "targets": 2});
    let rejected = |node: &str| with(about(release.0, 1), json!({"node": node, "message": "not k"}));
    let expected = [
        ("release.published", with(about(release.0, 1), published.clone())),
        ("release.rejected", rejected("n1")),
        ("release.rejected", rejected("n2")),
        ("release.published", with(about(back.0, 0), published)),
    ];
    assert_eq!(events(&*fixture.storage).await, expected.map(|(event, data)| (event.to_owned(), data)));
}

#[tokio::test]
async fn failed_jobs_are_told() {
    let fixture = CdnFixture::with_settings(ScriptedProvider::new(&["edge-1"]), subscribed()).await;
    let refused = ProviderError::Refused("not this one".into());
    fixture.level3.next("edge-1", Reply::Each(vec![Err(refused)]));
    let tried = fixture.refresh("http://cdn.exrqs.com/1").await;
    fixture.job_runner().turn().await.unwrap();
    let done = fixture.refresh("http://cdn.exrqs.com/2").await;
    fixture.job_runner().turn().await.unwrap();
    let stopped = fixture.refresh("http://cdn.exrqs.com/3").await;
    fixture.set_operations(false).await;
    fixture.job_runner().turn().await.unwrap();
    assert_eq!(fixture.job(&done).await.percent, 100);
    let mut expected = Vec::new();
    for job in [&tried, &stopped] {
        let job = fixture.job(job).await;
        let data = json!({
            "taskid": job.task_id, "kind": "refresh", "cdn": "level3", "urls": 1, "percent": 0,
            "reason": job.reason,
        });
        assert!(!job.reason.is_empty());
        expected.push(("job.failed".to_owned(), data));
    }
    assert_eq!(events(&*fixture.storage).await, expected);
}

#[tokio::test]
async fn log_ins_that_are_locked_are_told_once() {
    let storage = Arc::new(MemoryStorage::new().strict());
    let pilothouse = Pilothouse::new(storage.clone(), subscribed()).unwrap();
    let fail = async |name: &str| {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        pilothouse.logins().login(name, "wrong", Some(address)).await.unwrap_err();
    };
    for name in ["Root", "a", "b", "c"] {
        for _ in 0..7 {
            fail(name).await;
        }
    }
    let told = events(&*storage).await;
    let locked = |(event, mut data): (String, Value)| {
        assert!(
            event == "login.locked" && data["address"] == "192.0.2.1" && data["until"].is_i64(),
            "{data}"
        );
        data["name"].take()
    };
    let names: Vec<_> = told.into_iter().map(locked).collect();
    assert_eq!(names, [json!("root"), json!("a"), json!("b"), json!("c"), Value::Null]);
}

#[tokio::test]
async fn without_webhooks_nothing_is_queued() {
    let fixture = DeliveryFixture::with(Settings::default()).await;
    fixture.register("n1").await;
    fixture.publish("1", &Selector::default()).await;
    fixture.ack("n1", 1, AckResult::Rejected).await;
    assert!(events(&*fixture.storage).await.is_empty());
}
