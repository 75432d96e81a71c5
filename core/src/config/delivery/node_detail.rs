//! Detail of a node: its registration, and what it holds of each key beside what it should hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::acknowledgement::{Ack, AckResult, DeliveryRecord, NodeAck};
use super::node::{LEASE, Node, Nodes, canonical_node_id, check_node_id};
use super::release::{Release, ReleaseId, ReleaseSummary};
use super::rollout::NodeState;
use crate::account::{Caller, Reach};
use crate::config::identifier::check_identifier;
use crate::{Error, Result};

/// A node with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDetail {
    /// Registration of the node.
    pub node: Node,
    /// Whether it is online.
    pub is_online: bool,
    /// Time of its last request, to 5 seconds: the beginning of its lease.
    pub last_seen: DateTime<Utc>,
    /// Revision of the app that `items` are of.
    pub revision: i64,
    /// Items that it should hold, and the keys of which it said that it holds something else, by key.
    pub items: Vec<NodeItem>,
    /// The newest 100 releases that were sent to it or that it acknowledged, newest first.
    pub releases: Vec<NodeRelease>,
}

/// A release at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRelease {
    /// First part of the release; its state is that of the release.
    pub release: Release,
    /// The key of its first item.
    pub key: String,
    /// Number of its items.
    pub items: i64,
    /// State of the node in its rollout.
    pub state: NodeState,
    /// Time of the first sending.
    pub sent: Option<DateTime<Utc>>,
    /// Acknowledgement of the release.
    pub ack: Option<Ack>,
}

/// A key at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeItem {
    /// Key of the item.
    pub key: String,
    /// The version that the node should hold; 0 where it should not have the key.
    pub expected: i64,
    /// The version that it last acknowledged as applied; 0 where it never did.
    pub version: i64,
    /// Whether it holds another version than it should, or said so.
    pub has_drifted: bool,
    /// Its newest acknowledgement of the key.
    pub ack: Option<Ack>,
}

impl Nodes<'_> {
    /// The most releases of a detail.
    const LISTED: i64 = 100;

    /// A registered node, also one that is offline, with what it holds; needs permission 0.
    pub async fn detail(
        &self,
        caller: &Caller,
        (app, profile): (&str, &str),
        node_id: &str,
    ) -> Result<NodeDetail> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::Profile(profile));
        let app = self.0.apps().open_for_reader(&mut *snapshot, caller, place).await?;
        drop(snapshot);
        check_identifier("profile", profile)?;
        check_node_id("nodeId", node_id)?;
        let node_id = &*canonical_node_id(node_id);
        self.0.flush_reports().await?;
        let session = self.0.delivery().open_unsigned(&app.app).await?;
        let session = session.ok_or_else(|| Error::not_found("the app"))?;
        let config = session.reloaded().await?.node_config(profile, node_id);
        let now = self.0.store_time().await?;
        let mut snapshot = self.0.storage().read().await?;
        let node = snapshot.nodes().find(app.id, profile, node_id).await?;
        let node = node.ok_or_else(|| Error::not_found("the node"))?;
        let acks = snapshot.deliveries().of_node(node.number).await?;
        let drift = snapshot.nodes().drift(&[app.id]).await?;
        let drift = drift.into_iter().filter(|(_, number, _)| *number == node.number);
        let drifted: HashSet<String> = drift.map(|(_, _, key)| key).collect();
        let expected = config.delta.items.iter().map(|item| (item.key.to_string(), item.version));
        let records = snapshot.deliveries().newest_of_node(node.number, Self::LISTED).await?;
        let ids: Vec<ReleaseId> = records.iter().map(|record| record.release).collect();
        let summaries = snapshot.releases().summaries(&ids).await?;
        Ok(NodeDetail {
            releases: node_releases(records, summaries, node.is_online(now)),
            is_online: node.is_online(now),
            last_seen: node.lease_until - LEASE.length(),
            node,
            revision: config.delta.revision,
            items: node_items(expected.collect(), acks, &drifted),
        })
    }
}

/// The releases of some delivery records, in their order.
fn node_releases(
    records: Vec<DeliveryRecord>,
    summaries: Vec<ReleaseSummary>,
    is_online: bool,
) -> Vec<NodeRelease> {
    let mut summaries: HashMap<ReleaseId, ReleaseSummary> =
        summaries.into_iter().map(|summary| (summary.first.id, summary)).collect();
    let release = |DeliveryRecord { release, sent, ack, .. }: DeliveryRecord| {
        let summary = summaries.remove(&release)?;
        let (release_state, items) = (summary.state(), summary.items());
        let state = NodeState::of(sent, ack.as_ref(), is_online);
        let release = Release { state: release_state, ..summary.first };
        Some(NodeRelease { release, key: summary.key, items, state, sent, ack })
    };
    records.into_iter().filter_map(release).collect()
}

/// The keys that a node should hold or said to have drifted, with what it acknowledged.
fn node_items(
    mut keys: BTreeMap<String, i64>,
    acks: Vec<NodeAck>,
    drifted: &HashSet<String>,
) -> Vec<NodeItem> {
    let mut applied: HashMap<String, i64> = HashMap::new();
    let mut newest: HashMap<String, Ack> = HashMap::new();
    for NodeAck { key, version, ack } in acks {
        if ack.result == AckResult::Applied {
            applied.insert(key.clone(), version);
        }
        // Of equal times the one that is not applied counts, which asks for somebody to look.
        let is_newer = |known: &Ack| (known.time, known.result.id()) < (ack.time, ack.result.id());
        if newest.get(&key).is_none_or(is_newer) {
            newest.insert(key, ack);
        }
    }
    for key in drifted {
        keys.entry(key.clone()).or_insert(0);
    }
    let item = |(key, expected): (String, i64)| {
        let version = applied.get(&key).copied().unwrap_or(0);
        let has_drifted = drifted.contains(&key) || version > 0 && version != expected;
        NodeItem { expected, version, has_drifted, ack: newest.remove(&key), key }
    };
    keys.into_iter().map(item).collect()
}
