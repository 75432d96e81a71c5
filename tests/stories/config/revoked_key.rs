//! Open watches whose app key is deleted.

use std::time::{Duration, Instant};

use pilothouse_test_support::postgres_or_skip;
use serde_json::json;

use crate::support::{ApiClient, Installation, ROOT, TestServer, http_client, signed};

const APP: &str = "shop";
/// The time within which a watch ends.
const END: Duration = Duration::from_secs(20);

/// Opens every kind of watch on every server, deletes the key on the first, and waits until all have ended.
async fn delete_key_under_watches(servers: &[TestServer]) {
    let root = ApiClient::new(&[&servers[0]]).login(ROOT).await;
    root.post("/app/create", json!({"app": APP, "appType": 0, "name": APP, "charger": ROOT})).await.ok();
    let made = root.post("/app/key/create", json!({"app": APP})).await.ok()["data"].clone();
    let key = made["Key"].as_str().unwrap();
    let http = http_client().build().unwrap();
    let register = json!({"app": APP, "profile": "prod", "pid": "1", "nodeId": "11"});
    let node = ApiClient::new(&[&servers[0]]).with_token(key);
    node.post("/node/register", register).await.ok();

    let watch = "/node/watch?app=shop&profile=prod&nodeId=11&wait=60";
    let notifications = "/notifications/v2?appId=shop&cluster=prod\
                         &notifications=[%7B%22namespaceName%22:%22application%22%7D]";
    let mut watches = Vec::new();
    for server in servers {
        for (path, accept) in
            [(watch, "text/event-stream"), (watch, "application/json"), (notifications, "application/json")]
        {
            let url = server.url() + path;
            let request = if path == notifications {
                signed(&http, APP, key, url.parse().unwrap())
            } else {
                http.get(url).bearer_auth(key)
            };
            let request = request.header("accept", accept);
            watches.push(tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                let status = answer.status().as_u16();
                // Reads to the end of the body, which of a stream is the end of the watch.
                answer.bytes().await.unwrap();
                (path, accept, status, Instant::now())
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for watch in &watches {
        assert!(!watch.is_finished(), "a watch ended before its key was deleted");
    }
    root.post("/app/key/del", json!({"id": made["Id"]})).await.ok();
    let deleted = Instant::now();
    for watch in watches {
        let (path, accept, status, ended) = watch.await.unwrap();
        let after = ended.saturating_duration_since(deleted);
        assert!(after < END, "{path} {accept} ended after {after:?}");
        assert_eq!(status, if path == notifications { 401 } else { 200 }, "{path} {accept}");
    }
    assert_eq!(node.get(watch).await.codes(), (200, 3), "the key opens nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_ends_watches_on_sqlite() {
    let installation = Installation::sqlite();
    delete_key_under_watches(&[installation.serve().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_ends_watches_on_two_servers_over_postgres() {
    let Some(postgres) =
        postgres_or_skip("config::revoked_key::a_deleted_key_ends_watches_on_two_servers_over_postgres")
    else {
        return;
    };
    let database = postgres.database();
    let installations = [Installation::postgres(&database), Installation::postgres(&database)];
    let (one, two) = tokio::join!(installations[0].serve(), installations[1].serve());
    delete_key_under_watches(&[one, two]).await;
}
