//! Webhooks: events reach a receiver signed, after it was down and the server was killed, and never by a redirect.

use std::fs;
use std::time::{Duration, Instant};

use pilothouse_test_support::{free_port, postgres_or_skip};
use serde_json::{Value, json};

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, TestServer, WebhookReceiver};

/// An installation whose releases are told to a receiver at `port`.
fn with_webhook(installation: Installation, port: u16) -> Installation {
    let url = format!("http://127.0.0.1:{port}/hook?x=1");
    let settings = format!(
        "[[webhook]]\nname = \"chat\"\nurl = \"{url}\"\nsecret = \"env:TEST_SECRET\"\nevents = [\"release.published\"]\n"
    );
    let file = installation.file("settings.toml");
    fs::write(&file, settings).unwrap();
    installation.with("CONFIG", &file.display().to_string())
}

/// Publishes an item of a new app; the release.
async fn publish(server: &TestServer, app: &str) -> Value {
    let root = ApiClient::new(&[server]).login(ROOT).await;
    root.post("/app/create", json!({"app": app, "appType": 0, "name": app, "charger": ROOT})).await.ok();
    let item = json!({"app": app, "profile": "prod", "key": "k", "value": "v"});
    let id = root.post("/config/create", item).await.ok()["data"].clone();
    root.post("/config/approve", json!({"app": app, "profile": "prod", "key": "k"})).await.ok();
    root.post("/publish", json!({"id": id})).await.ok()["data"]["Release"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_arrives_after_the_receiver_was_down_and_the_server_killed() {
    let port = free_port();
    let installation = with_webhook(Installation::sqlite(), port);
    let mut server = installation.serve().await;
    let release = publish(&server, "app").await;
    let begun = Instant::now();
    while !server.log().contains("a webhook delivery failed") {
        assert!(begun.elapsed() < TIMEOUT, "no attempt failed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.process.kill9();
    let receiver = WebhookReceiver::start(port, vec![500, 404]).await;
    let _server = installation.serve().await;
    let calls = receiver.wait_for(3).await;
    for call in &calls {
        assert_eq!(call.path, "/hook");
        assert_eq!(call.header("x-pilothouse-delivery"), calls[0].header("x-pilothouse-delivery"));
        let data = json!({
            "app": "app", "profile": "prod", "key": "k", "release": release, "version": 1, "by": ROOT,
            "kind": "full", "targets": 0, "items": 1,
        });
        let body = call.verified();
        assert_eq!((&body["event"], &body["data"]), (&json!("release.published"), &data));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let port = free_port();
    let receiver = WebhookReceiver::start(port, vec![302, 307]).await;
    let server = with_webhook(Installation::memory(), port).serve().await;
    publish(&server, "app").await;
    let calls = receiver.wait_for(3).await;
    assert!(calls.iter().all(|call| call.path == "/hook"), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_send_each_event_once() {
    let Some(postgres) = postgres_or_skip("server::webhooks::two_servers_send_each_event_once") else {
        return;
    };
    let port = free_port();
    let receiver = WebhookReceiver::start(port, Vec::new()).await;
    let database = postgres.database();
    let first = with_webhook(Installation::postgres(&database), port).serve().await;
    let second = with_webhook(Installation::postgres(&database), port).serve().await;
    for n in 0..10 {
        publish(if n % 2 == 0 { &first } else { &second }, &format!("app-{n}")).await;
    }
    let calls = receiver.wait_for(10).await;
    let mut apps: Vec<_> = calls.iter().map(|call| call.verified()["data"]["app"].clone()).collect();
    apps.sort_by_key(ToString::to_string);
    assert_eq!(apps, (0..10).map(|n| json!(format!("app-{n}"))).collect::<Vec<_>>());
}

/// `check` reads the secret and calls nobody; a start refuses what it refuses.
#[test]
fn check_reads_the_secret() {
    let installation = with_webhook(Installation::sqlite(), free_port());
    let sound = installation.run(&["check"], "");
    assert!(sound.code == Some(0) && sound.stdout.contains("ok      webhook chat: "), "{sound:?}");
    let file = installation.file("settings.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings.replace("TEST_SECRET", "TEST_NOTHING")).unwrap();
    let wrong = installation.run(&["check"], "");
    assert!(
        wrong.code == Some(1) && wrong.stdout.contains("failed  webhook chat: webhook.secret: "),
        "{wrong:?}"
    );
    let refused = installation.run(&["serve"], "");
    assert!(refused.code == Some(2) && refused.stderr.contains("webhook.secret: "), "{refused:?}");
    fs::write(&file, settings.replace("release.published", "release.made")).unwrap();
    let refused = installation.run(&["check"], "");
    assert!(
        refused.code == Some(2) && refused.stderr.contains("there is no event release.made"),
        "{refused:?}"
    );
}
