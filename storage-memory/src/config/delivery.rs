//! What became of releases at nodes.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::OrdMap;
use pilothouse_core::config::{Delivery, DeliveryRepository, Release, ReleaseId, ReleaseState};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl DeliveryRepository for Transaction {
    async fn record(&mut self, deliveries: &[Delivery]) -> StorageResult<()> {
        let config = &mut self.state_mut()?.config;
        for new in deliveries {
            if config.releases.get(new.release).is_none() || config.nodes.get(new.node).is_none() {
                continue;
            }
            let known = config.deliveries.entry((new.release, new.node)).or_insert_with(|| Delivery {
                sent: None,
                ack: None,
                ..*new
            });
            known.sent = [known.sent, new.sent].into_iter().flatten().min();
            let later = |time| known.ack.as_ref().is_none_or(|held| held.time < time);
            if let Some(ack) = new.ack.as_ref().filter(|ack| later(ack.time)) {
                known.ack = Some(ack.clone());
            }
        }
        Ok(())
    }

    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<Delivery>> {
        let deliveries = &self.state().config.deliveries;
        let mut ids = releases.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let of = |id: &ReleaseId| deliveries.range((*id, i64::MIN)..=(*id, i64::MAX));
        Ok(ids.iter().flat_map(of).map(|(_, delivery)| delivery.clone()).collect())
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
        let forgotten: Vec<_> = forgotten.take(usize::try_from(count).unwrap_or(0)).collect();
        if forgotten.is_empty() {
            return Ok(0);
        }
        let left = config.deliveries.iter().filter(|((release, _), _)| !forgotten.contains(release));
        let left: OrdMap<_, _> = left.map(|(key, delivery)| (*key, delivery.clone())).collect();
        let gone = config.deliveries.len() - left.len();
        config.deliveries = left;
        Ok(gone as u64)
    }
}
