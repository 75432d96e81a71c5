//! Nodes that no longer read their event stream: the connection ends, and they do not count as online.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::overload::connect;
use crate::support::{ApiClient, Installation, ROOT, http_client};

/// Larger than what the buffers of two sockets take.
const ITEMS: usize = 16;
/// Time limit of a blocked write, the lease after it, and some for the machine.
const OFFLINE: Duration = Duration::from_secs(50);

async fn online(root: &ApiClient) -> Vec<String> {
    let listed = root.post("/node/list", json!({"app": "stuck", "profile": "dev"})).await.ok();
    listed["data"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_read_its_events_goes_offline() {
    let server = Installation::memory().serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    root.post("/app/create", json!({"app": "stuck", "appType": 0, "name": "n", "charger": ROOT})).await.ok();
    for n in 0..ITEMS {
        let name = json!({"app": "stuck", "profile": "dev", "key": format!("k{n}")});
        let mut item = name.clone();
        item["value"] = "v".repeat(1_000_000).into();
        let id = root.post("/config/create", item).await.ok()["data"].clone();
        root.post("/config/approve", name).await.ok();
        root.post("/publish", json!({"id": id})).await.ok();
    }
    let key = root.post("/app/key/create", json!({"app": "stuck"})).await.ok()["data"]["Key"].clone();
    let key = key.as_str().unwrap();
    let node = root.with_token(key);
    for id in ["reads", "stuck"] {
        let new = json!({"app": "stuck", "profile": "dev", "pid": "1", "nodeId": id});
        node.post("/node/register", new).await.ok();
    }
    let path = |id: &str| format!("/node/watch?app=stuck&profile=dev&nodeId={id}");
    let http = http_client().build().unwrap();
    let request = http.get(format!("{}{}", server.url(), path("reads"))).bearer_auth(key);
    let mut events = request.header("accept", "text/event-stream").send().await.unwrap();
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = events.chunk().await {} });
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n",
        path("stuck")
    );
    let stuck = connect(&server, &head);
    let begun = Instant::now();
    assert_eq!(online(&root).await, ["reads", "stuck"]);
    while online(&root).await != ["reads"] {
        assert!(begun.elapsed() < OFFLINE, "it counts as online: {:?}", online(&root).await);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(10), "it was given no time");
    assert!(!reading.is_finished(), "who reads is not cut off");
    println!("offline {:?} after its last event", begun.elapsed());
    drop(stuck);
}
