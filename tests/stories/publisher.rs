//! Sixteen writers that publish until no answer arrives any more, nodes that follow, and what both should find afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::time::sleep;

use crate::client::{Answer, Client};
use crate::follower::{Follower, PROFILE, Protocol, Site};
use crate::place::{PATIENCE, Server};
use crate::released::Held;

const APP: &str = "published";
pub(crate) const WRITERS: usize = 16;
const NODES: [(&str, Protocol); 4] = [
    ("stream-0", Protocol::Stream),
    ("long-poll-0", Protocol::LongPoll),
    ("poll-0", Protocol::Poll),
    ("embedded-0", Protocol::Embedded),
];

/// The node a version is published to; `None` for all.
fn meant_for(version: i64) -> Option<&'static str> {
    match version % 3 {
        0 => Some("stream-0"),
        1 => None,
        _ => Some("poll-0"),
    }
}

/// The nodes, and what was acknowledged to the writers.
pub(crate) struct Publishers {
    site: Site,
    nodes: Vec<(&'static str, Follower)>,
    /// Release and version of each publication that is there, by key: acknowledged, or found after a kill.
    there: BTreeMap<String, Vec<(i64, i64)>>,
    /// How many of them were acknowledged so far.
    pub(crate) acknowledged: Arc<AtomicUsize>,
    /// How many were not, and were carried out.
    pub(crate) found: usize,
    /// How many values were seen at nodes.
    pub(crate) values: usize,
}

impl Publishers {
    /// Makes the app and starts the nodes.
    pub(crate) async fn prepare(root: &Client, server: &Server) -> Self {
        let site = Site::make(root, APP, std::slice::from_ref(server)).await;
        let nodes = NODES.map(|(node, protocol)| (node, Follower::start(&site, protocol, node, None)));
        let begun = Instant::now();
        while root.post("/node/list", json!({"app": APP, "profile": PROFILE})).await.ok()["data"]
            .as_object()
            .unwrap()
            .len()
            < NODES.len()
        {
            assert!(begun.elapsed() < PATIENCE, "a node does not register");
            sleep(Duration::from_millis(20)).await;
        }
        let there = (0..WRITERS).map(|n| (format!("key-{n}"), Vec::new())).collect();
        Self { site, nodes: nodes.into(), there, acknowledged: Arc::default(), found: 0, values: 0 }
    }

    /// Has every writer publish version after version of its key, until no answer arrives.
    pub(crate) async fn publish_to_the_end(&mut self, root: &Client) {
        let writers: Vec<_> = self
            .there
            .keys()
            .map(|key| {
                let (root, key, count) = (root.clone(), key.clone(), self.acknowledged.clone());
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    let note = |publication| {
                        acknowledged.push(publication);
                        count.fetch_add(1, Ordering::Relaxed);
                    };
                    let end = publish(&root, &key, note).await.unwrap_err();
                    assert!(end.status().is_none(), "{end}");
                    acknowledged
                })
            })
            .collect();
        for (writer, there) in writers.into_iter().zip(self.there.values_mut()) {
            there.extend(writer.await.unwrap());
        }
    }

    /// Compares the server, which began anew, and what the nodes come to hold with what was acknowledged. One publication
    /// of each key may have been carried out besides, which was not answered.
    pub(crate) async fn check(&mut self, root: &Client) {
        let mut should = BTreeMap::new();
        for (key, there) in &mut self.there {
            let name = json!({"app": APP, "profile": PROFILE, "key": key});
            let listed = root.post("/publish/list", name).await.ok()["data"].clone();
            let listed: Vec<(i64, i64)> = listed.as_array().unwrap().iter().rev().map(self::listed).collect();
            // The list ends after a hundred; what is older was looked for when it was new.
            let oldest = listed.first().map_or(i64::MAX, |(release, _)| *release);
            let young = there.iter().filter(|(release, _)| *release >= oldest || listed.len() < 100);
            for publication in young {
                assert!(listed.contains(publication), "{key}: {publication:?} is lost: {listed:?}");
            }
            let last = there.last().map_or(0, |(release, _)| *release);
            let more: Vec<_> = listed.iter().filter(|(release, _)| *release > last).copied().collect();
            assert!(more.len() <= 1, "{key}: {more:?} that nobody was told of");
            self.found += more.len();
            there.extend(more);
            let versions = || listed.iter().rev().map(|(_, version)| *version);
            let full = versions().find(|version| meant_for(*version).is_none());
            for (node, _) in &self.nodes {
                let version = versions().next().filter(|last| meant_for(*last) == Some(node)).or(full);
                should.entry(*node).or_insert_with(BTreeMap::new).extend(version.map(|it| (key.clone(), it)));
            }
        }
        let begun = Instant::now();
        for (node, follower) in &self.nodes {
            loop {
                let held = versions(&follower.memory().held);
                self.values += all_meant(&self.site);
                if held == should[node] {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{node} holds {held:?} and should {:?}", should[node]);
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Whatever nodes were seen to hold was meant for them. How many values that were.
fn all_meant(site: &Site) -> usize {
    let mut values = 0;
    for seen in site.seen() {
        for (key, version) in versions(&seen.held) {
            let meant = meant_for(version);
            assert!(meant.is_none_or(|node| node == seen.node), "{} held {version} of {key}", seen.node);
            values += 1;
        }
    }
    values
}

/// Publishes until no answer arrives, and notes what is acknowledged; how it ended.
async fn publish(root: &Client, key: &str, mut note: impl FnMut((i64, i64))) -> reqwest::Result<()> {
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
        if let Some(node) = meant_for(version) {
            arguments["nodes"] = json!(node);
        }
        let published = send("/publish", &arguments).await?.ok();
        note((published["data"]["Release"].as_i64().unwrap(), version));
    }
}

/// A row of the list, which is what its version says.
fn listed(row: &Json) -> (i64, i64) {
    let version = row["Version"].as_i64().unwrap();
    assert_eq!(row["Kind"], if meant_for(version).is_none() { "full" } else { "grey" }, "{row}");
    (row["Release"].as_i64().unwrap(), version)
}

/// The versions of what a node holds, from the texts.
fn versions(held: &Held) -> BTreeMap<String, i64> {
    let version = |text: &str, key: &str| text.strip_prefix(key).unwrap().trim().parse().unwrap();
    held.iter().map(|(key, value)| (key.clone(), version(&value.text, key))).collect()
}
