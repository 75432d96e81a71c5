//! Webhook delivery repository over the state in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::ports::StorageResult;
use pilothouse_core::webhook::{
    LONGEST_PAUSE, WebhookDelivery, WebhookDeliveryId, WebhookDeliveryRepository,
};

use crate::state::Table;
use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct WebhookState {
    deliveries: Table<WebhookDeliveryId, WebhookDelivery>,
}

#[async_trait]
impl WebhookDeliveryRepository for Transaction {
    async fn insert(&mut self, delivery: &WebhookDelivery) -> StorageResult<WebhookDeliveryId> {
        let deliveries = &mut self.state_mut()?.webhook.deliveries;
        Ok(deliveries.insert(|id| WebhookDelivery { id, ..delivery.clone() }))
    }

    async fn claim(
        &mut self,
        webhook: &str,
        now: DateTime<Utc>,
        lease: Lease,
        count: i64,
    ) -> StorageResult<Vec<WebhookDelivery>> {
        let deliveries = &mut self.state_mut()?.webhook.deliveries;
        // One that is void is due now, after those that have been due for longer.
        let due_at = |delivery: &WebhookDelivery| {
            let longest = if delivery.is_claimed { lease } else { LONGEST_PAUSE };
            if longest.is_void(delivery.due, now) { now } else { delivery.due }
        };
        let own = deliveries.iter().filter(|delivery| delivery.webhook == webhook);
        let due = own.map(|delivery| (due_at(delivery), delivery.id)).filter(|(due, _)| *due <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        due.truncate(usize::try_from(count).unwrap_or(0));
        due.sort_unstable_by_key(|(_, id)| *id);
        let mut claimed = Vec::new();
        for (_, id) in due {
            if let Some(delivery) = deliveries.get_mut(id) {
                delivery.attempts += 1;
                delivery.due = lease.end(now);
                delivery.is_claimed = true;
                claimed.push(delivery.clone());
            }
        }
        Ok(claimed)
    }

    async fn postpone(&mut self, delivery: &WebhookDelivery) -> StorageResult<bool> {
        let known = self.state_mut()?.webhook.deliveries.get_mut(delivery.id);
        let Some(known) = known.filter(|known| known.attempts == delivery.attempts) else { return Ok(false) };
        known.due = delivery.due;
        known.is_claimed = false;
        Ok(true)
    }

    async fn delete(&mut self, id: WebhookDeliveryId) -> StorageResult<bool> {
        Ok(self.state_mut()?.webhook.deliveries.remove(id))
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        Ok(self.state_mut()?.webhook.deliveries.retain(|delivery| delivery.created >= before))
    }
}
