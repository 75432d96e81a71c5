//! A server that ends in good order while nodes wait for news, and the next one, which takes over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::client::Client;
use crate::follower::{Follower, PROFILE, Protocol, Site};
use crate::place::{PATIENCE, Place, ROOT};
use crate::released::{History, KEYS, Operation};

const NODES: [(&str, Protocol); 5] = [
    ("stream", Protocol::Stream),
    ("long-poll", Protocol::LongPoll),
    ("poll", Protocol::Poll),
    ("embedded", Protocol::Embedded),
    ("10.9.0.1", Protocol::Apollo),
];

/// Publishes a version of a key to everybody.
async fn publish(root: &Client, app: &str, history: &mut History, text: &str) {
    let mut item = json!({"app": app, "profile": PROFILE, "key": KEYS[0], "value": text});
    if !root.post("/config/create", item.clone()).await.is_ok() {
        root.post("/config/update", item.clone()).await.ok();
    }
    item.as_object_mut().unwrap().remove("value");
    root.post("/config/approve", item.clone()).await.ok();
    let found = root.post("/config/queryWithKey", item).await.ok()["data"].clone();
    let made = root.post("/publish", json!({"id": found["Id"]})).await.ok()["data"]["Release"].clone();
    let version = found["Version"].as_i64().unwrap();
    let operation = Operation::Publish { version, text: text.to_owned(), grey: false };
    history.push(history.now().after(KEYS[0], &operation, made.as_i64().unwrap(), BTreeSet::new()));
}

/// Waits until every node has just what was released, and looks whether any had something else.
async fn all_have(history: &History, site: &Site, nodes: &[(&str, Follower)]) {
    let begun = Instant::now();
    for (node, follower) in nodes {
        while !history.now().fits(node, &KEYS, &follower.memory().held) {
            assert!(begun.elapsed() < PATIENCE, "{node} holds {:?}", follower.memory().held);
            sleep(Duration::from_millis(10)).await;
        }
    }
    for seen in site.seen() {
        history.check(&seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_over_to_the_next_server() {
    let place = Place::sqlite();
    let mut server = place.serve().await;
    let mut root = Client::new(&[&server]).login(ROOT).await;
    let app = "shop";
    let site = Site::make(&root, app, std::slice::from_ref(&server)).await;
    let mut history = History::new();
    publish(&root, app, &mut history, "0").await;
    let nodes = NODES.map(|(node, protocol)| (node, Follower::start(&site, protocol, node, None)));
    for round in 1..=3 {
        all_have(&history, &site, &nodes).await;
        server.process.terminate();
        let begun = Instant::now();
        let ended = server.process.wait_for_exit(PATIENCE).expect("it ends");
        assert!(ended.success(), "{ended}");
        // Requests under way have seven seconds, and waiting for news is none that needs them.
        assert!(begun.elapsed() < Duration::from_secs(7), "watches hold it up for {:?}", begun.elapsed());
        server = place.serve_again(server.port).await;
        root = Client::new(&[&server]).login(ROOT).await;
        publish(&root, app, &mut history, &round.to_string()).await;
    }
    all_have(&history, &site, &nodes).await;
}
