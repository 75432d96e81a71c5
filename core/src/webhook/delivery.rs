//! Webhook deliveries in a store: what is still to be sent to whom.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Lease;
use crate::id::id;
use crate::ports::StorageResult;

id! {
    /// The id of a webhook delivery in its store.
    WebhookDeliveryId
}

/// One event for one webhook, from the transaction of the deed until the receiver has accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Unique within the store; never shown.
    pub id: WebhookDeliveryId,
    /// Random id that the receiver is shown, the same at each attempt.
    pub key: String,
    /// Name of the webhook.
    pub webhook: String,
    /// Name of the event; a later version may know more of them.
    pub event: String,
    /// JSON text that is sent.
    pub body: String,
    /// Time of the deed, by the store's clock.
    pub created: DateTime<Utc>,
    /// Time from which it may be claimed. While it is claimed, the end of the lease.
    pub due: DateTime<Utc>,
    /// Whether `due` is the end of a claim's lease; else the delivery waits for its next attempt.
    pub is_claimed: bool,
    /// Number of claims. A report that comes with an older number is refused.
    pub attempts: i64,
}

/// Webhook deliveries in a store.
#[async_trait]
pub trait WebhookDeliveryRepository: Send {
    /// Adds a delivery, ignoring `id`.
    async fn insert(&mut self, delivery: &WebhookDelivery) -> StorageResult<WebhookDeliveryId>;
    /// Takes at most `count` deliveries of a webhook that are due at `now`, the longest due first; answered by id. Each
    /// has one more attempt, and is due again at `now` + `lease`. No two claims take the same attempt. A clock that was
    /// ahead wrote what is claimed for longer than `lease`, and what waits for longer than [`super::LONGEST_PAUSE`]: it is due.
    async fn claim(
        &mut self,
        webhook: &str,
        now: DateTime<Utc>,
        lease: Lease,
        count: i64,
    ) -> StorageResult<Vec<WebhookDelivery>>;
    /// Ends the claim of a delivery that is still at this attempt, and makes it due at `delivery.due`; whether it was.
    async fn postpone(&mut self, delivery: &WebhookDelivery) -> StorageResult<bool>;
    /// Deletes a delivery; whether there was one.
    async fn delete(&mut self, id: WebhookDeliveryId) -> StorageResult<bool>;
    /// Deletes what was created before; how many there were.
    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64>;
}
