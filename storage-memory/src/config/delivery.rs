//! What became of releases at nodes.

use async_trait::async_trait;
use pilothouse_core::config::{Delivery, DeliveryRepository, ReleaseId};
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
}
