//! Graceful stop of a server with open watches, and its successor.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::support::{
    ApiClient, Content, Installation, KEYS, NodeEnvironment, Operation, PROFILE, Protocol, ROOT,
    ReleaseHistory, TIMEOUT, TestNode,
};

const NODES: [(&str, Protocol); 5] = [
    ("stream", Protocol::Stream),
    ("long-poll", Protocol::LongPoll),
    ("poll", Protocol::Poll),
    ("embedded", Protocol::Embedded),
    ("10.9.0.1", Protocol::Apollo),
];

/// Publishes a version of a key to all nodes.
async fn publish(root: &ApiClient, app: &str, history: &mut ReleaseHistory, text: &str) {
    let mut item = json!({"app": app, "profile": PROFILE, "key": KEYS[0], "value": text});
    if !root.post("/config/create", item.clone()).await.is_ok() {
        root.post("/config/update", item.clone()).await.ok();
    }
    item.as_object_mut().unwrap().remove("value");
    root.post("/config/approve", item.clone()).await.ok();
    let found = root.post("/config/queryWithKey", item).await.ok()["data"].clone();
    let made = root.post("/publish", json!({"id": found["Id"]})).await.ok()["data"]["Release"].clone();
    let version = found["Version"].as_i64().unwrap();
    let content = Content { version, text: text.to_owned() };
    let operation = Operation::Publish { contents: [(KEYS[0].to_owned(), content)].into(), grey: false };
    history.push(history.now().after(&operation, made.as_i64().unwrap(), &BTreeSet::new()));
}

/// Waits until every node has exactly the released items, and asserts that none was observed with others.
async fn wait_until_delivered(
    history: &ReleaseHistory,
    environment: &NodeEnvironment,
    nodes: &[(&str, TestNode)],
) {
    let begun = Instant::now();
    for (name, node) in nodes {
        while !history.now().is_held_by(name, &KEYS, &node.state().items) {
            assert!(begun.elapsed() < TIMEOUT, "{name} holds {:?}", node.state().items);
            sleep(Duration::from_millis(10)).await;
        }
    }
    for observation in environment.take_observations() {
        history.check(&observation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reconnect_after_a_graceful_restart() {
    let installation = Installation::sqlite();
    let mut server = installation.serve().await;
    let mut root = ApiClient::new(&[&server]).login(ROOT).await;
    let app = "shop";
    let environment = NodeEnvironment::create(&root, app, std::slice::from_ref(&server)).await;
    let mut history = ReleaseHistory::new();
    publish(&root, app, &mut history, "0").await;
    let nodes = NODES.map(|(node, protocol)| (node, TestNode::start(&environment, protocol, node, None)));
    for round in 1..=3 {
        wait_until_delivered(&history, &environment, &nodes).await;
        server.process.terminate();
        let begun = Instant::now();
        let status = server.process.wait_for_exit(TIMEOUT).expect("the server ends");
        assert!(status.success(), "{status}");
        // Requests under way have seven seconds to finish; a watch must not need them.
        assert!(
            begun.elapsed() < Duration::from_secs(7),
            "watches delayed the end for {:?}",
            begun.elapsed()
        );
        server = installation.serve_again(server.port).await;
        root = ApiClient::new(&[&server]).login(ROOT).await;
        publish(&root, app, &mut history, &round.to_string()).await;
    }
    wait_until_delivered(&history, &environment, &nodes).await;
}
