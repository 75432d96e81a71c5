//! Delivery records: when releases were sent to nodes, and acknowledged.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{
    AckResult, DeliveryRecord, DeliveryRepository, HeldVersion, ItemId, NodeAck, NodeNumber, Release,
    ReleaseId, ReleaseState,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl DeliveryRepository for Transaction {
    async fn record(&mut self, deliveries: &[DeliveryRecord], now: DateTime<Utc>) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for new in deliveries {
            if config.releases.get(new.release).is_none() || config.nodes.get(new.node).is_none() {
                continue;
            }
            let known = config.deliveries.entry((new.release, new.node)).or_insert_with(|| DeliveryRecord {
                sent: None,
                ack: None,
                ..*new
            });
            known.sent = [known.sent, new.sent].into_iter().flatten().min();
            let later = |time| known.ack.as_ref().is_none_or(|held| held.time < time || held.time > now);
            if let Some(ack) = new.ack.as_ref().filter(|ack| later(ack.time)) {
                known.ack = Some(ack.clone());
            }
        }
        Ok(())
    }

    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>> {
        let deliveries = &self.state().config.deliveries;
        let mut ids = releases.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let of = |id: &ReleaseId| deliveries.range((*id, NodeNumber(i64::MIN))..=(*id, NodeNumber(i64::MAX)));
        Ok(ids.iter().flat_map(of).map(|(_, delivery)| delivery.clone()).collect())
    }

    async fn held(
        &mut self,
        item: ItemId,
        nodes: &[NodeNumber],
        releases: i64,
    ) -> StorageResult<Vec<HeldVersion>> {
        let config = &self.state().config;
        let mut of_item: Vec<&Release> =
            config.releases.iter().filter(|release| release.item == item).collect();
        let forgotten = of_item.len().saturating_sub(usize::try_from(releases).unwrap_or_default());
        of_item.drain(..forgotten);
        let nodes: BTreeSet<NodeNumber> = nodes.iter().copied().collect();
        let held = nodes.into_iter().filter_map(|node| {
            let applied = of_item.iter().filter_map(|release| {
                let ack = config.deliveries.get(&(release.id, node))?.ack.as_ref()?;
                (ack.result == AckResult::Applied).then_some((ack.time, release.version))
            });
            applied.max().map(|(_, version)| HeldVersion { node, version })
        });
        Ok(held.collect())
    }

    async fn of_node(&mut self, node: NodeNumber) -> StorageResult<Vec<NodeAck>> {
        let config = &self.state().config;
        let mut newest: BTreeMap<(ItemId, bool), (ReleaseId, NodeAck)> = BTreeMap::new();
        for delivery in config.deliveries.values().filter(|delivery| delivery.node == node) {
            let release = config.releases.get(delivery.release);
            let Some((release, ack)) = release.zip(delivery.ack.clone()) else { continue };
            let Some(item) = config.items.get(release.item) else { continue };
            let slot = (release.item, ack.result == AckResult::Applied);
            let is_newer =
                |(id, known): &(ReleaseId, NodeAck)| (known.ack.time, *id) < (ack.time, release.id);
            if newest.get(&slot).is_none_or(is_newer) {
                let ack = NodeAck { key: item.key.clone(), version: release.version, ack };
                newest.insert(slot, (release.id, ack));
            }
        }
        Ok(newest.into_values().map(|(_, ack)| ack).collect())
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let config = &mut self.state_mut()?.config;
        let ended =
            |release: &Release| release.state != ReleaseState::Active && release.publish_time < before;
        let mut kept: HashSet<ReleaseId> = HashSet::new();
        for release in config.releases.iter().filter(|release| !ended(release)) {
            let mut origin = release.origin;
            while let Some(id) = origin.filter(|id| kept.insert(*id)) {
                origin = config.releases.get(id).and_then(|release| release.origin);
            }
        }
        let known: BTreeSet<ReleaseId> = config.deliveries.keys().map(|(release, _)| *release).collect();
        let forgotten = known.into_iter().filter(|id| !kept.contains(id));
        let forgotten = forgotten.filter(|id| config.releases.get(*id).is_some_and(ended));
        let forgotten: BTreeSet<ReleaseId> = forgotten.collect();
        let rows = config.deliveries.keys().filter(|(release, _)| forgotten.contains(release));
        let rows: Vec<_> = rows.take(usize::try_from(count).unwrap_or(0)).copied().collect();
        for row in &rows {
            config.deliveries.remove(row);
        }
        Ok(rows.len() as u64)
    }
}
