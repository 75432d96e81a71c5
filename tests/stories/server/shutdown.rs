//! Graceful shutdown under load.

use std::time::{Duration, Instant};

use pilothouse_test_support::postgres_or_skip;
use serde_json::json;

use super::overload::connect;
use crate::support::{
    ApiClient, Installation, ROOT, TIMEOUT, assert_stored, http_client, prepare_writes,
    with_unreachable_edge, write_until_disconnected,
};

/// The time within which the server promises to end.
const END: Duration = Duration::from_secs(10);

/// Terminates a server under load; it must end in time and lose no acknowledged write.
async fn terminate_under_load(installation: Installation) {
    let mut server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    prepare_writes(&root).await;
    // Neither may delay the end: an incomplete request head, and a body that never arrives.
    let _half_a_head = connect(&server, "GET /healthz HTTP/1.1\r\nHost:");
    let _no_body =
        connect(&server, "POST /admin/user_login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    let writing = tokio::spawn({
        let root = root.clone();
        async move { write_until_disconnected(&root, 0).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;

    let asked = Instant::now();
    server.process.terminate();
    let status = server.process.wait_for_exit(END);
    assert!(status.is_some_and(|status| status.success()), "{status:?} after {:?}", asked.elapsed());
    let writes = writing.await.unwrap();
    assert!(writes.len() > 16, "the server must have been under load");

    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    assert_stored(&root, &writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_load_ends_in_time_on_sqlite() {
    terminate_under_load(with_unreachable_edge(Installation::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_load_ends_in_time_on_postgres() {
    let Some(postgres) = postgres_or_skip("server::shutdown::a_server_under_load_ends_in_time_on_postgres")
    else {
        return;
    };
    terminate_under_load(with_unreachable_edge(Installation::postgres(&postgres.database()))).await;
}

/// A stream that is cut off by the end of its server has no end of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_followed_ends_with_its_server() {
    let mut server = Installation::memory().serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    root.post("/app/create", json!({"app": "shop", "appType": 0, "name": "n", "charger": "c"})).await.ok();
    let key = root.post("/app/key/create", json!({"app": "shop"})).await.ok()["data"]["Key"].clone();
    let node = json!({"app": "shop", "profile": "dev", "nodeId": "11", "pid": "1"});
    root.with_token(key.as_str().unwrap()).post("/node/register", node).await.ok();
    let changes = json!([{"key": "k", "value": "v"}]);
    let apply = json!({"app": "shop", "profile": "dev", "changes": changes, "publish": true});
    let release = root.post("/config/apply", apply).await.ok()["data"]["Release"].clone();
    let url = format!("{}/publish/follow?release={release}", server.url());
    let request = http_client().build().unwrap().get(url).bearer_auth(root.token());
    let mut followed = request.send().await.unwrap();
    let first = followed.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: rollout\n"), "{first:?}");
    server.process.terminate();
    while followed.chunk().await.expect("the stream ends by itself").is_some() {}
    assert!(server.process.wait_for_exit(TIMEOUT).is_some_and(|status| status.success()));
}
