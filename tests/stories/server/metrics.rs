//! `/metrics` of a server that did something of everything.

use std::collections::BTreeMap;

use pilothouse_test_support::free_port;
use serde_json::json;

use crate::support::{ApiClient, Installation, PASSWORD, ROOT, TIMEOUT, http_client, with_unreachable_edge};

/// Labels that may occur: their values are chosen by the program, not by callers.
const LABELS: [&str; 17] = [
    "action",
    "cap",
    "commit",
    "family",
    "fate",
    "kind",
    "le",
    "method",
    "operation",
    "outcome",
    "result",
    "state",
    "status",
    "vendor",
    "version",
    "worker",
    "quantile",
];

/// Name and labels of every line, and its value.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_described_and_can_be_added() {
    let port = free_port();
    let installation =
        with_unreachable_edge(Installation::sqlite()).with("METRICS_LISTEN", &format!("127.0.0.1:{port}"));
    let server = installation.serve().await;
    let anonymous = ApiClient::new(&[&server]);
    let root = anonymous.login(ROOT).await;
    assert_eq!(anonymous.try_login(ROOT, "wrong").await.status, 403);
    for _ in 0..6 {
        anonymous.try_login("nobody", PASSWORD).await;
    }
    root.post("/app/create", json!({"app": "shop", "appType": 0, "name": "n", "charger": "c"})).await.ok();
    let key = root.post("/app/key/create", json!({"app": "shop"})).await.ok()["data"]["Key"].clone();
    let item = json!({"app": "shop", "profile": "prod", "key": "secret-key", "value": "secret-value"});
    let id = root.post("/config/create", item.clone()).await.ok()["data"].clone();
    root.post("/config/approve", json!({"app": "shop", "profile": "prod", "key": "secret-key"})).await.ok();
    let node = anonymous.with_token(key.as_str().unwrap());
    let identity = json!({"app": "shop", "profile": "prod", "pid": "1", "nodeId": "node-11"});
    let registered = node.post("/node/register", identity).await.ok();
    root.post("/publish", json!({"id": id})).await.ok();
    let published = registered["data"]["Revision"].as_i64().unwrap() + 1;
    let results = json!([{"key": "secret-key", "version": 1, "result": "applied"}]);
    node.post(
        "/node/ack",
        json!({"app": "shop", "profile": "prod", "nodeId": "node-11", "results": results}),
    )
    .await
    .ok();
    let watch = tokio::spawn({
        let node = node.clone();
        let watched = format!("app=shop&profile=prod&nodeId=node-11&revision={published}&wait=60");
        async move { node.get(&format!("/node/watch?{watched}")).await }
    });

    let http = http_client().build().unwrap();
    let deadline = std::time::Instant::now() + TIMEOUT;
    let text = loop {
        let answer = http.get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let found = samples(&text);
        let edges = found.get("pilothouse_edges{state=\"unreachable\"}") == Some(&1.0);
        if edges && found.get("pilothouse_watches") == Some(&1.0) {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    watch.abort();
    let found = samples(&text);
    for (name, value) in [
        ("pilothouse_login_attempts_total{outcome=\"right\"}", 1.0),
        ("pilothouse_login_attempts_total{outcome=\"wrong\"}", 6.0),
        ("pilothouse_login_attempts_total{outcome=\"throttled\"}", 1.0),
        ("pilothouse_releases_total{action=\"full\"}", 1.0),
        ("pilothouse_acknowledgements_total{result=\"applied\"}", 1.0),
        ("pilothouse_nodes_online", 1.0),
        ("pilothouse_worker_stalled{worker=\"edge leases\"}", 0.0),
        ("pilothouse_http_requests_total{family=\"ops\",method=\"POST\",status=\"429\"}", 1.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name} in\n{text}");
    }
    for (name, least) in [
        ("pilothouse_http_request_seconds_bucket{family=\"config\",method=\"POST\",le=\"+Inf\"}", 6.0),
        ("pilothouse_store_commit_seconds_count", 6.0),
        ("pilothouse_store_flush_seconds_count", 1.0),
        ("pilothouse_worker_last_success_timestamp_seconds{worker=\"edge leases\"}", 1.7e9),
        ("pilothouse_connections", 2.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 10.0),
        ("process_max_fds", 100.0),
        ("process_start_time_seconds", 1.7e9),
    ] {
        assert!(found.get(name).is_some_and(|value| *value >= least), "{name} in\n{text}");
    }
    assert!(text.contains("pilothouse_build_info{version=\""), "{text}");
    for name in found.keys() {
        let (metric, labels) = name.split_once('{').map_or((*name, ""), |(name, labels)| (name, labels));
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
        assert!(text.contains(&format!("# HELP {base} ")), "{base} is not described in\n{text}");
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let label = label.split('=').next().unwrap();
            assert!(LABELS.contains(&label), "{label} of {name}");
        }
    }
    for callers in ["shop", "prod", "secret", "node-11", "edge-1", "level3", "nobody"] {
        assert!(!text.contains(callers), "{callers} is in\n{text}");
    }
}
