//! Computes rollouts: what became of a release at each node, from the delivery records of its parts and of what it followed.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::acknowledgement::{AckResult, DeliveryRecord, RETENTION};
use super::node::{Node, NodeNumber};
use super::release::{Release, ReleaseId, ReleaseKind, ReleaseState};
use super::rollout::{Latency, NodePage, NodeRollout, NodeState, ReleasedItem, Rollout, RolloutStatus};
use crate::Result;
use crate::config::identifier::{AppId, ItemId};
use crate::ports::Repositories;

/// Nodes, releases and delivery records that a rollout is computed from, of one moment.
pub(super) struct RolloutQuery {
    now: DateTime<Utc>,
    nodes: Vec<Node>,
    /// The releases in question and their origins.
    releases: HashMap<ReleaseId, Release>,
    deliveries: HashMap<ReleaseId, HashMap<NodeNumber, DeliveryRecord>>,
    /// The active grey releases, by item.
    greys: HashMap<ItemId, Release>,
}

/// Status with a page of nodes, and the numbers of these; `None` for one that is not registered.
pub(super) struct PagedStatus {
    pub(super) status: RolloutStatus,
    pub(super) numbers: Vec<Option<NodeNumber>>,
}

/// A node of a release.
pub(super) struct Target<'a> {
    node_id: &'a str,
    node: Option<&'a Node>,
    state: NodeState,
    delivery: Option<DeliveryRecord>,
}

impl RolloutQuery {
    /// Of some items of a profile.
    pub(super) async fn of(
        now: DateTime<Utc>,
        store: &mut dyn Repositories,
        (app, profile): (AppId, &str),
        items: &[ItemId],
    ) -> Result<Self> {
        let nodes = store.nodes().list(app, profile).await?;
        let active = store.releases().active_of(items).await?.into_iter();
        let greys = active.filter(|release| release.kind == ReleaseKind::Grey);
        let greys = greys.map(|release| (release.item, release)).collect();
        Ok(Self { now, nodes, releases: HashMap::new(), deliveries: HashMap::new(), greys })
    }

    /// Loads the delivery records of some releases and their origins, in place of those loaded before.
    pub(super) async fn load(
        &mut self,
        store: &mut dyn Repositories,
        known: impl IntoIterator<Item = &Release>,
    ) -> Result<()> {
        self.releases = known.into_iter().map(|release| (release.id, release.clone())).collect();
        add_origins(store, &mut self.releases).await?;
        let mut ids: Vec<ReleaseId> = self.releases.keys().copied().collect();
        ids.sort_unstable();
        self.deliveries.clear();
        for delivery in store.deliveries().of_releases(&ids).await? {
            self.deliveries.entry(delivery.release).or_default().insert(delivery.node, delivery);
        }
        Ok(())
    }

    /// Status of a release of these parts with a page of its nodes, whose versions are still to be looked up; `None` without
    /// parts.
    pub(super) fn status(&self, parts: &[(Release, String)], page: NodePage) -> Option<PagedStatus> {
        let published = parts.first()?.0.publish_time;
        let (mut nodes, mut numbers, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
        let mut passed = 0;
        let rollout = self.rollout(parts, &mut |target: Target<'_>| {
            let (sent, ack) = target.delivery.map_or((None, None), |delivery| (delivery.sent, delivery.ack));
            if let Some(ack) = ack.as_ref().filter(|ack| ack.result == AckResult::Applied) {
                // Whoever held it before, from the release that this one followed, says nothing about speed.
                latencies.extend(Some(ack.time - published).filter(|took| *took >= TimeDelta::zero()));
            }
            if page.state.is_some_and(|state| state != target.state) {
                return;
            }
            passed += 1;
            if passed <= page.start || nodes.len() >= page.count {
                return;
            }
            numbers.push(target.node.map(|node| node.number));
            nodes.push(NodeRollout {
                node_id: target.node_id.to_owned(),
                state: target.state,
                version: 0,
                acked: ack.as_ref().map(|ack| ack.time),
                message: ack.map(|ack| ack.message).unwrap_or_default(),
                sent,
            });
        });
        latencies.sort_unstable();
        let latency = latencies.first().zip(latencies.last()).map(|(first, last)| Latency {
            first: *first,
            median: latencies[(latencies.len() - 1) / 2],
            last: *last,
        });
        Some(PagedStatus { status: RolloutStatus { rollout, nodes, latency }, numbers })
    }

    /// Counts the nodes of a release of these parts, of which there is at least one, and shows each.
    pub(super) fn rollout(&self, parts: &[(Release, String)], show: &mut dyn FnMut(Target<'_>)) -> Rollout {
        let (mut targets, mut counts) = (0, [0; 6]);
        let mut add = |node_id: &str, node: Option<&Node>, delivery: Option<DeliveryRecord>| {
            let state = state(delivery.as_ref(), node.is_some_and(|node| node.is_online(self.now)));
            targets += 1;
            counts[state as usize] += 1;
            show(Target { node_id, node, state, delivery });
        };
        let (first, key) = &parts[0];
        let release = Release { state: state_of(parts), ..first.clone() };
        let forgotten = release.state != ReleaseState::Active && release.publish_time < self.now - RETENTION;
        match release.kind {
            _ if forgotten => {}
            ReleaseKind::Grey => {
                let by_id: HashMap<&str, &Node> =
                    self.nodes.iter().map(|node| (&*node.node_id, node)).collect();
                for node_id in &release.nodes {
                    let node = by_id.get(&**node_id).copied();
                    let delivery = |part: &Release| node.and_then(|node| self.delivery(part, node));
                    let parts = parts.iter().map(|(part, _)| (part, delivery(part)));
                    add(node_id, node, together(parts.collect()));
                }
            }
            ReleaseKind::Full => {
                let elsewhere = self.nodes_elsewhere(parts);
                for node in &self.nodes {
                    let is_for = |part: &Release| {
                        part.state == ReleaseState::Active
                            && elsewhere.get(&part.item).is_none_or(|nodes| !nodes.contains(&*node.node_id))
                    };
                    let delivered = parts.iter().map(|(part, _)| (part, self.delivery(part, node)));
                    let concerned =
                        delivered.filter(|(part, delivery)| delivery.is_some() || !node.left && is_for(part));
                    let concerned: Vec<_> = concerned.collect();
                    if !concerned.is_empty() {
                        add(&node.node_id, Some(node), together(concerned));
                    }
                }
            }
        }
        let items = parts.iter().map(|(part, key)| ReleasedItem {
            item: part.item,
            key: key.clone(),
            version: part.version,
        });
        Rollout { release, key: key.clone(), items: items.collect(), targets, counts }
    }

    /// The nodes that hold an active grey release of an item instead, by item.
    fn nodes_elsewhere(&self, parts: &[(Release, String)]) -> HashMap<ItemId, HashSet<&str>> {
        let greys = parts.iter().filter_map(|(part, _)| self.greys.get(&part.item));
        greys.map(|grey| (grey.item, grey.nodes.iter().map(String::as_str).collect())).collect()
    }

    /// Delivery record of a release at a node, completed from the releases of the same version that it followed.
    fn delivery(&self, release: &Release, node: &Node) -> Option<DeliveryRecord> {
        let of = |id| self.deliveries.get(&id).and_then(|nodes| nodes.get(&node.number));
        let mut found = of(release.id).cloned();
        let mut at = release;
        while let Some(origin) = at.origin.and_then(|id| self.releases.get(&id)) {
            // Whom it was not for did not hold that version then.
            if origin.kind == ReleaseKind::Grey && origin.nodes.binary_search(&node.node_id).is_err() {
                break;
            }
            if let Some(before) = of(origin.id) {
                let nothing =
                    DeliveryRecord { release: release.id, node: node.number, sent: None, ack: None };
                let known = found.get_or_insert(nothing);
                known.sent = known.sent.or(before.sent);
                known.ack = known.ack.take().or_else(|| before.ack.clone());
            }
            at = origin;
        }
        found
    }
}

/// Adds the releases that those known followed.
async fn add_origins(store: &mut dyn Repositories, releases: &mut HashMap<ReleaseId, Release>) -> Result<()> {
    let missing = |releases: &HashMap<ReleaseId, Release>| {
        let origins = releases.values().filter_map(|release| release.origin);
        origins.filter(|id| !releases.contains_key(id)).collect::<HashSet<_>>()
    };
    let mut wanted = missing(releases);
    while !wanted.is_empty() {
        for id in wanted {
            match store.releases().by_id(id).await? {
                Some(release) => drop(releases.insert(id, release)),
                None => releases.values_mut().for_each(|release| {
                    release.origin = release.origin.filter(|origin| *origin != id);
                }),
            }
        }
        wanted = missing(releases);
    }
    Ok(())
}

fn state(delivery: Option<&DeliveryRecord>, online: bool) -> NodeState {
    let ack = delivery.and_then(|delivery| delivery.ack.as_ref());
    match ack.map(|ack| ack.result) {
        Some(AckResult::Applied) => NodeState::Applied,
        Some(AckResult::Rejected) => NodeState::Rejected,
        Some(AckResult::Failed) => NodeState::Failed,
        None if !online => NodeState::Offline,
        None if delivery.is_some_and(|delivery| delivery.sent.is_some()) => NodeState::Sent,
        None => NodeState::Pending,
    }
}

/// State of a release of these parts: active as long as one of them is.
fn state_of(parts: &[(Release, String)]) -> ReleaseState {
    let is_in = |state: &ReleaseState| parts.iter().any(|(part, _)| part.state == *state);
    let states =
        [ReleaseState::Active, ReleaseState::Promoted, ReleaseState::Aborted, ReleaseState::Superseded];
    states.into_iter().find(is_in).unwrap_or(ReleaseState::Superseded)
}

/// What became of a release at a node, from what became of its parts there: it is rejected or failed with one of them, and
/// applied with all. A node need not say that it dropped a key.
fn together(mut parts: Vec<(&Release, Option<DeliveryRecord>)>) -> Option<DeliveryRecord> {
    if parts.len() > 1 && parts.iter().any(|(part, _)| part.version > 0) {
        parts.retain(|(part, delivery)| part.version > 0 || delivery.is_some());
    }
    if parts.len() < 2 {
        return parts.pop()?.1;
    }
    let acks = parts.iter().map(|(_, delivery)| delivery.as_ref().and_then(|delivery| delivery.ack.as_ref()));
    let by_result = |result| acks.clone().flatten().find(move |ack| ack.result == result);
    let refusal = by_result(AckResult::Rejected).or_else(|| by_result(AckResult::Failed)).cloned();
    let is_applied = acks.clone().all(|ack| ack.is_some());
    let ack = refusal.or_else(|| acks.flatten().filter(|_| is_applied).max_by_key(|ack| ack.time).cloned());
    let records = parts.iter().filter_map(|(_, delivery)| delivery.as_ref());
    let sent = records.clone().filter_map(|delivery| delivery.sent).min();
    let first = records.clone().next()?;
    Some(DeliveryRecord { release: parts[0].0.id, node: first.node, sent, ack })
}
