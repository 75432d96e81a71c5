//! Node repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::config::{AppId, LEASE, Node, NodeCensus, NodeNumber, NodeRepository};
use pilothouse_core::ports::StorageResult;

use crate::config::ConfigState;
use crate::storage::Transaction;

impl ConfigState {
    fn number(&self, app: AppId, profile: &str, node_id: &str) -> Option<NodeNumber> {
        self.node_numbers.get(&(app, profile.to_owned(), node_id.to_owned())).copied()
    }

    /// Removes nodes with all that became of releases there.
    pub(crate) fn remove_nodes(&mut self, gone: impl Fn(&Node) -> bool) -> u64 {
        let gone: Vec<Node> = self.nodes.iter().filter(|node| gone(node)).cloned().collect();
        for node in &gone {
            self.node_numbers.remove(&(node.app, node.profile.clone(), node.node_id.clone()));
            self.nodes.remove(node.number);
        }
        if !gone.is_empty() {
            self.remove_stray_deliveries();
            let kept = self.drift.iter().filter(|(number, _)| self.nodes.get(*number).is_some());
            self.drift = kept.cloned().collect();
        }
        gone.len() as u64
    }

    /// Removes what became of releases at nodes where either is gone.
    pub(crate) fn remove_stray_deliveries(&mut self) {
        let there = |(release, node): &(_, _)| {
            self.releases.get(*release).is_some() && self.nodes.get(*node).is_some()
        };
        let kept = self.deliveries.iter().filter(|(pair, _)| there(pair));
        self.deliveries = kept.map(|(pair, delivery)| (*pair, delivery.clone())).collect();
        self.remove_stray_part_acks();
    }

    /// Removes acknowledgements of parts whose delivery record is gone.
    pub(crate) fn remove_stray_part_acks(&mut self) {
        let kept = self
            .part_acks
            .iter()
            .filter(|((release, node, _), _)| self.deliveries.contains_key(&(*release, *node)));
        self.part_acks = kept.map(|(key, ack)| (*key, ack.clone())).collect();
    }
}

#[async_trait]
impl NodeRepository for Transaction {
    async fn register(&mut self, node: &Node) -> StorageResult<Option<NodeNumber>> {
        let config = &mut self.state_mut()?.config;
        if config.apps.get(node.app).is_none() {
            return Ok(None);
        }
        if let Some(number) = config.number(node.app, &node.profile, &node.node_id) {
            if let Some(held) = config.nodes.get_mut(number) {
                *held = Node { number, ..node.clone() };
            }
            return Ok(Some(number));
        }
        let number = config.nodes.insert(|number| Node { number, ..node.clone() });
        config.node_numbers.insert((node.app, node.profile.clone(), node.node_id.clone()), number);
        Ok(Some(number))
    }

    async fn find(&mut self, app: AppId, profile: &str, node_id: &str) -> StorageResult<Option<Node>> {
        let config = &self.state().config;
        let number = config.number(app, profile, node_id);
        Ok(number.and_then(|number| config.nodes.get(number)).cloned())
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Node>> {
        let nodes = self.state().config.nodes.iter();
        Ok(nodes.filter(|node| node.app == app && node.profile == profile).cloned().collect())
    }

    async fn count(&mut self, app: AppId) -> StorageResult<i64> {
        let count = self.state().config.nodes.iter().filter(|node| node.app == app).count();
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    async fn count_online(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<i64> {
        let nodes = self.state().config.nodes.iter();
        let online = nodes.filter(|node| node.app == app && node.profile == profile && node.is_online(now));
        Ok(i64::try_from(online.count()).unwrap_or(i64::MAX))
    }

    async fn census(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<NodeCensus> {
        let mut census = NodeCensus::default();
        for node in self.state().config.nodes.iter().filter(|node| node.app == app && node.profile == profile)
        {
            let counted = if node.left {
                &mut census.left
            } else if node.is_online(now) {
                &mut census.online
            } else {
                &mut census.offline
            };
            *counted += 1;
        }
        Ok(census)
    }

    async fn present(&mut self, app: AppId) -> StorageResult<Vec<(NodeNumber, String, String)>> {
        let nodes = self.state().config.nodes.iter().filter(|node| node.app == app && !node.left);
        Ok(nodes.map(|node| (node.number, node.profile.clone(), node.node_id.clone())).collect())
    }

    async fn renew(&mut self, nodes: &[NodeNumber], until: DateTime<Utc>) -> StorageResult<()> {
        let held = &mut self.state_mut()?.config.nodes;
        for number in nodes {
            if let Some(node) = held.get_mut(*number).filter(|node| !node.left)
                && (node.lease_until < until || node.lease_until > Lease::latest_beside(until))
            {
                node.lease_until = until;
            }
        }
        Ok(())
    }

    async fn leave(&mut self, node: NodeNumber) -> StorageResult<bool> {
        let held = self.state_mut()?.config.nodes.get_mut(node).filter(|node| !node.left);
        Ok(held.map(|node| node.left = true).is_some())
    }

    async fn add_drift(&mut self, drift: &[(NodeNumber, String)]) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for (node, key) in drift {
            if config.nodes.get(*node).is_some() {
                config.drift.insert((*node, key.clone()));
            }
        }
        Ok(())
    }

    async fn drift(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, NodeNumber, String)>> {
        let config = &self.state().config;
        let drift = config.drift.iter().filter_map(|(number, key)| {
            let app = config.nodes.get(*number)?.app;
            apps.contains(&app).then(|| (app, *number, key.clone()))
        });
        Ok(drift.collect())
    }

    async fn remove_drift(&mut self, node: NodeNumber, key: &str) -> StorageResult<bool> {
        Ok(self.state_mut()?.config.drift.remove(&(node, key.to_owned())).is_some())
    }

    async fn end_void_leases(&mut self, now: DateTime<Utc>) -> StorageResult<u64> {
        let held = &mut self.state_mut()?.config.nodes;
        let void = held.iter().filter(|node| LEASE.is_void(node.lease_until, now));
        let void: Vec<_> = void.map(|node| node.number).collect();
        for number in &void {
            if let Some(node) = held.get_mut(*number) {
                node.lease_until = now;
            }
        }
        Ok(void.len() as u64)
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let config = &mut self.state_mut()?.config;
        let old = config.nodes.iter().filter(|node| node.lease_until < before);
        let mut old: Vec<_> = old.map(|node| (node.lease_until, node.number)).collect();
        old.sort_unstable();
        old.truncate(usize::try_from(count).unwrap_or(0));
        let old: BTreeSet<_> = old.into_iter().map(|(_, number)| number).collect();
        Ok(config.remove_nodes(|node| old.contains(&node.number)))
    }
}
