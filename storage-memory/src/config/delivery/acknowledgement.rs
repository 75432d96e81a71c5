//! Delivery records: when releases were sent to nodes, and acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{
    Ack, AckResult, AppliedTimes, ConcernedNodes, DeliveryCount, DeliveryKey, DeliveryRecord,
    DeliveryRepository, HeldVersion, ItemId, NodeAck, NodeNumber, NodePage, NodeState, PartAck, ProfileAt,
    ReachCount, Release, ReleaseId, ReleaseState, RolloutNode,
};
use pilothouse_core::ports::StorageResult;

use crate::config::ConfigState;
use crate::storage::Transaction;

impl ConfigState {
    /// Whether a node is of the app and profile of a release.
    fn belongs(&self, release: ReleaseId, node: NodeNumber) -> bool {
        let item = self.releases.get(release).and_then(|release| self.items.get(release.item));
        let node = self.nodes.get(node);
        item.zip(node).is_some_and(|(item, node)| item.app == node.app && item.profile == node.profile)
    }

    fn records_of(&self, release: ReleaseId) -> impl Iterator<Item = &DeliveryRecord> {
        let (first, last) = (NodeNumber(i64::MIN), NodeNumber(i64::MAX));
        self.deliveries.range((release, first)..=(release, last)).map(|(_, record)| record)
    }

    fn part_acks_of(&self, (release, node): DeliveryKey) -> impl Iterator<Item = (ReleaseId, &Ack)> {
        let (first, last) = (ReleaseId(i64::MIN), ReleaseId(i64::MAX));
        let range = (release, node, first)..=(release, node, last);
        self.part_acks.range(range).map(|((_, _, part), ack)| (*part, ack))
    }

    /// Acknowledgement of a node for a part of a release.
    fn ack_of(&self, part: &Release, node: NodeNumber) -> Option<&Ack> {
        let key = (part.head(), node);
        match self.part_acks_of(key).next() {
            Some(_) => self.part_acks.get(&(part.head(), node, part.id)),
            None => self.deliveries.get(&key)?.ack.as_ref(),
        }
    }

    /// A node in a rollout, and whether it has a record there.
    fn rollout_node(
        &self,
        of: ProfileAt<'_>,
        release: ReleaseId,
    ) -> impl Iterator<Item = (RolloutNode, bool, bool)> {
        let nodes = self.nodes.iter().filter(move |node| node.app == of.app && node.profile == of.profile);
        nodes.map(move |node| {
            let record = self.deliveries.get(&(release, node.number));
            let (sent, ack) = record.map_or((None, None), |record| (record.sent, record.ack.clone()));
            let state = NodeState::of(sent, ack.as_ref(), node.is_online(of.now));
            let shown = RolloutNode { number: node.number, node_id: node.node_id.clone(), state, sent, ack };
            (shown, record.is_some(), node.left)
        })
    }

    fn concerned(&self, of: ProfileAt<'_>, concerned: &ConcernedNodes<'_>) -> Vec<RolloutNode> {
        let ConcernedNodes { release, everyone, except } = *concerned;
        let nodes = self.rollout_node(of, release).filter(|(node, has_record, left)| {
            *has_record || everyone && !left && !except.contains(&&*node.node_id)
        });
        nodes.map(|(node, ..)| node).collect()
    }
}

#[async_trait]
impl DeliveryRepository for Transaction {
    async fn record(&mut self, deliveries: &[DeliveryRecord], now: DateTime<Utc>) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for new in deliveries {
            if !config.belongs(new.release, new.node) {
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

    async fn replace_acks(&mut self, deliveries: &[DeliveryRecord]) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for new in deliveries {
            if let Some(known) = config.deliveries.get_mut(&(new.release, new.node)) {
                known.ack.clone_from(&new.ack);
            }
        }
        Ok(())
    }

    async fn find(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<DeliveryRecord>> {
        let deliveries = &self.state().config.deliveries;
        let keys: BTreeSet<&DeliveryKey> = keys.iter().collect();
        Ok(keys.into_iter().filter_map(|key| deliveries.get(key)).cloned().collect())
    }

    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>> {
        let config = &self.state().config;
        let ids: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        Ok(ids.into_iter().flat_map(|id| config.records_of(id)).cloned().collect())
    }

    async fn part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<PartAck>> {
        let config = &self.state().config;
        let keys: BTreeSet<DeliveryKey> = keys.iter().copied().collect();
        let of = |(release, node): DeliveryKey| {
            let acks = config.part_acks_of((release, node));
            acks.map(move |(part, ack)| PartAck { release, node, part, ack: ack.clone() })
        };
        Ok(keys.into_iter().flat_map(of).collect())
    }

    async fn set_part_acks(&mut self, acks: &[PartAck]) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for PartAck { release, node, part, ack } in acks {
            if config.deliveries.contains_key(&(*release, *node)) {
                config.part_acks.insert((*release, *node, *part), ack.clone());
            }
        }
        Ok(())
    }

    async fn clear_part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for (release, node) in keys {
            let parts = config.part_acks_of((*release, *node)).map(|(part, _)| part);
            let parts: Vec<ReleaseId> = parts.collect();
            for part in parts {
                config.part_acks.remove(&(*release, *node, part));
            }
        }
        Ok(())
    }

    async fn counts(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryCount>> {
        let config = &self.state().config;
        let ids: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let count = |id: ReleaseId| {
            let mut count = DeliveryCount::none(id);
            for record in config.records_of(id) {
                count.nodes += 1;
                match record.ack.as_ref().map(|ack| ack.result) {
                    Some(AckResult::Applied) => count.applied += 1,
                    Some(AckResult::Rejected) => count.rejected += 1,
                    Some(AckResult::Failed) => count.failed += 1,
                    None => {}
                }
            }
            count
        };
        Ok(ids.into_iter().map(count).filter(|count| count.nodes > 0).collect())
    }

    async fn reach(
        &mut self,
        of: ProfileAt<'_>,
        releases: &[ReleaseId],
        is_online: bool,
    ) -> StorageResult<Vec<ReachCount>> {
        let config = &self.state().config;
        let mut counts: BTreeMap<(ReleaseId, bool, bool), i64> = BTreeMap::new();
        let ids: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        for record in ids.into_iter().flat_map(|id| config.records_of(id)) {
            let node = config.nodes.get(record.node);
            let node = node.filter(|node| node.app == of.app && node.profile == of.profile);
            if let Some(node) = node.filter(|node| node.is_online(of.now) == is_online) {
                *counts.entry((record.release, node.left, record.ack.is_some())).or_default() += 1;
            }
        }
        let count = |((release, left, is_acked), nodes)| ReachCount { release, left, is_acked, nodes };
        Ok(counts.into_iter().map(count).collect())
    }

    async fn rollout_nodes(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
        page: NodePage,
    ) -> StorageResult<Vec<RolloutNode>> {
        Ok(page.of(self.state().config.concerned(of, concerned), |node| node.state))
    }

    async fn rollout_states(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
    ) -> StorageResult<[i64; 6]> {
        let mut counts = [0; 6];
        for node in self.state().config.concerned(of, concerned) {
            counts[node.state as usize] += 1;
        }
        Ok(counts)
    }

    async fn named_nodes(
        &mut self,
        of: ProfileAt<'_>,
        release: ReleaseId,
        node_ids: &[&str],
    ) -> StorageResult<Vec<RolloutNode>> {
        let nodes = self.state().config.rollout_node(of, release).map(|(node, ..)| node);
        Ok(nodes.filter(|node| node_ids.contains(&&*node.node_id)).collect())
    }

    async fn applied_times(
        &mut self,
        release: ReleaseId,
        since: DateTime<Utc>,
    ) -> StorageResult<Option<AppliedTimes>> {
        let acks = self.state().config.records_of(release).filter_map(|record| record.ack.as_ref());
        let applied = acks.filter(|ack| ack.result == AckResult::Applied && ack.time >= since);
        let mut times: Vec<DateTime<Utc>> = applied.map(|ack| ack.time).collect();
        times.sort_unstable();
        let ends = times.first().zip(times.last());
        Ok(ends.map(|(first, last)| {
            let median = times[(times.len() - 1) / 2];
            AppliedTimes { first: *first, median, last: *last }
        }))
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
                let ack = config.ack_of(release, node)?;
                (ack.result == AckResult::Applied).then_some((ack.time, release.version))
            });
            applied.max().map(|(_, version)| HeldVersion { node, version })
        });
        Ok(held.collect())
    }

    async fn of_node(&mut self, node: NodeNumber) -> StorageResult<Vec<NodeAck>> {
        let config = &self.state().config;
        let mut newest: BTreeMap<(ItemId, bool), (ReleaseId, NodeAck)> = BTreeMap::new();
        for part in config.releases.iter() {
            let Some(ack) = config.ack_of(part, node).cloned() else { continue };
            let Some(item) = config.items.get(part.item) else { continue };
            let slot = (part.item, ack.result == AckResult::Applied);
            let is_newer = |(id, known): &(ReleaseId, NodeAck)| (known.ack.time, *id) < (ack.time, part.id);
            if newest.get(&slot).is_none_or(is_newer) {
                let ack = NodeAck { key: item.key.clone(), version: part.version, ack };
                newest.insert(slot, (part.id, ack));
            }
        }
        Ok(newest.into_values().map(|(_, ack)| ack).collect())
    }

    async fn newest_of_node(&mut self, node: NodeNumber, count: i64) -> StorageResult<Vec<DeliveryRecord>> {
        let records = self.state().config.deliveries.values().rev().filter(|record| record.node == node);
        Ok(records.take(usize::try_from(count).unwrap_or(0)).cloned().collect())
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let config = &mut self.state_mut()?.config;
        let active = config.releases.iter().filter(|part| part.state == ReleaseState::Active);
        let active: BTreeSet<ReleaseId> = active.map(Release::head).collect();
        let is_over = |id: ReleaseId| {
            !active.contains(&id) && config.releases.get(id).is_some_and(|found| found.publish_time < before)
        };
        let rows = config.deliveries.keys().filter(|(release, _)| is_over(*release));
        let rows: Vec<DeliveryKey> = rows.take(usize::try_from(count).unwrap_or(0)).copied().collect();
        for row in &rows {
            config.deliveries.remove(row);
        }
        config.remove_stray_part_acks();
        Ok(rows.len() as u64)
    }
}
