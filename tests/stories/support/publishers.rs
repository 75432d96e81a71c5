//! Sixteen publishers that publish until the server disconnects, nodes that receive it, and the check of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::api_client::{Answer, ApiClient};
use super::installation::{TIMEOUT, TestServer};
use super::release_model::NodeItems;
use super::test_node::{NodeEnvironment, PROFILE, Protocol, TestNode};

const APP: &str = "published";
pub(crate) const PUBLISHERS: usize = 16;
const NODES: [(&str, Protocol); 4] = [
    ("stream-0", Protocol::Stream),
    ("long-poll-0", Protocol::LongPoll),
    ("poll-0", Protocol::Poll),
    ("embedded-0", Protocol::Embedded),
];

/// The node that a version is published to; `None` for all.
fn target_node(version: i64) -> Option<&'static str> {
    match version % 3 {
        0 => Some("stream-0"),
        1 => None,
        _ => Some("poll-0"),
    }
}

/// The publishers, the nodes, and the acknowledged publications.
pub(crate) struct Publishers {
    environment: NodeEnvironment,
    nodes: Vec<(&'static str, TestNode)>,
    /// Release and version of each stored publication, by key: acknowledged, or found after a kill.
    stored: BTreeMap<String, Vec<(i64, i64)>>,
    /// Number of acknowledged publications.
    pub(crate) acknowledged: Arc<AtomicUsize>,
    /// Number of publications that were stored without an acknowledgement.
    pub(crate) found: usize,
    /// Number of values observed at nodes.
    pub(crate) values: usize,
}

impl Publishers {
    /// Creates the app and starts the nodes.
    pub(crate) async fn start(root: &ApiClient, server: &TestServer) -> Self {
        let environment = NodeEnvironment::create(root, APP, std::slice::from_ref(server)).await;
        let nodes = NODES.map(|(node, protocol)| (node, TestNode::start(&environment, protocol, node, None)));
        let begun = Instant::now();
        while root.post("/node/list", json!({"app": APP, "profile": PROFILE})).await.ok()["data"]
            .as_object()
            .unwrap()
            .len()
            < NODES.len()
        {
            assert!(begun.elapsed() < TIMEOUT, "a node does not register");
            sleep(Duration::from_millis(20)).await;
        }
        let stored = (0..PUBLISHERS).map(|n| (format!("key-{n}"), Vec::new())).collect();
        Self { environment, nodes: nodes.into(), stored, acknowledged: Arc::default(), found: 0, values: 0 }
    }

    /// Lets every publisher publish version after version of its key until the server disconnects.
    pub(crate) async fn publish_until_disconnected(&mut self, root: &ApiClient) {
        let publishers: Vec<_> = self
            .stored
            .keys()
            .map(|key| {
                let (root, key, count) = (root.clone(), key.clone(), self.acknowledged.clone());
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    let record = |publication| {
                        acknowledged.push(publication);
                        count.fetch_add(1, Ordering::Relaxed);
                    };
                    let end = publish(&root, &key, record).await.unwrap_err();
                    assert!(end.status().is_none(), "{end}");
                    acknowledged
                })
            })
            .collect();
        for (publisher, stored) in publishers.into_iter().zip(self.stored.values_mut()) {
            stored.extend(publisher.await.unwrap());
        }
    }

    /// Asserts that every acknowledged publication is stored on the restarted server and arrives at its nodes. Of each key
    /// one more publication may be stored, which was not answered.
    pub(crate) async fn check(&mut self, root: &ApiClient) {
        let mut expected = BTreeMap::new();
        for (key, stored) in &mut self.stored {
            let name = json!({"app": APP, "profile": PROFILE, "key": key});
            let listed = root.post("/publish/list", name).await.ok()["data"].clone();
            let listed: Vec<(i64, i64)> = listed.as_array().unwrap().iter().rev().map(self::listed).collect();
            // The list is limited to a hundred releases; older ones were checked before.
            let oldest = listed.first().map_or(i64::MAX, |(release, _)| *release);
            let recent = stored.iter().filter(|(release, _)| *release >= oldest || listed.len() < 100);
            for publication in recent {
                assert!(listed.contains(publication), "{key}: {publication:?} is lost: {listed:?}");
            }
            let last = stored.last().map_or(0, |(release, _)| *release);
            let more: Vec<_> = listed.iter().filter(|(release, _)| *release > last).copied().collect();
            assert!(more.len() <= 1, "{key}: more than one unanswered publication: {more:?}");
            self.found += more.len();
            stored.extend(more);
            let versions = || listed.iter().rev().map(|(_, version)| *version);
            let full = versions().find(|version| target_node(*version).is_none());
            for (node, _) in &self.nodes {
                let version = versions().next().filter(|last| target_node(*last) == Some(node)).or(full);
                expected
                    .entry(*node)
                    .or_insert_with(BTreeMap::new)
                    .extend(version.map(|it| (key.clone(), it)));
            }
        }
        let begun = Instant::now();
        for (name, node) in &self.nodes {
            loop {
                let held = versions(&node.state().items);
                self.values += check_targets(&self.environment);
                if held == expected[name] {
                    break;
                }
                assert!(begun.elapsed() < TIMEOUT, "{name} holds {held:?} instead of {:?}", expected[name]);
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Asserts that nodes were observed only with values published to them; the number of values.
fn check_targets(environment: &NodeEnvironment) -> usize {
    let mut values = 0;
    for observation in environment.take_observations() {
        for (key, version) in versions(&observation.items) {
            let target = target_node(version);
            assert!(
                target.is_none_or(|node| node == observation.node),
                "{} held {version} of {key}",
                observation.node
            );
            values += 1;
        }
    }
    values
}

/// Publishes until the server disconnects, and records acknowledged publications; the error that ended it.
async fn publish(root: &ApiClient, key: &str, mut record: impl FnMut((i64, i64))) -> reqwest::Result<()> {
    let name = json!({"app": APP, "profile": PROFILE, "key": key});
    let send = async |path: &str, body: &Json| -> reqwest::Result<Answer> {
        root.send("POST", path, Some(body)).await
    };
    let found = send("/config/queryWithKey", &name).await?;
    let mut version = found.body["data"]["Version"].as_i64().unwrap_or(0);
    let mut id = found.body["data"]["Id"].clone();
    loop {
        version += 1;
        let mut item = name.clone();
        item["value"] = json!(format!("{key} {version}"));
        if version == 1 {
            id = send("/config/create", &item).await?.ok()["data"].clone();
        } else {
            send("/config/update", &item).await?.ok();
        }
        send("/config/approve", &name).await?.ok();
        let mut arguments = json!({"id": id});
        if let Some(node) = target_node(version) {
            arguments["nodes"] = json!(node);
            arguments["grey"] = json!(true);
        }
        let published = send("/publish", &arguments).await?.ok();
        record((published["data"]["Release"].as_i64().unwrap(), version));
    }
}

/// Release and version of a row of the list, after a check of its kind.
fn listed(row: &Json) -> (i64, i64) {
    let version = row["Version"].as_i64().unwrap();
    assert_eq!(row["Kind"], if target_node(version).is_none() { "full" } else { "grey" }, "{row}");
    (row["Release"].as_i64().unwrap(), version)
}

/// The versions of the items of a node, from their texts.
fn versions(items: &NodeItems) -> BTreeMap<String, i64> {
    let version = |text: &str, key: &str| text.strip_prefix(key).unwrap().trim().parse().unwrap();
    items.iter().map(|(key, value)| (key.clone(), version(&value.text, key))).collect()
}
