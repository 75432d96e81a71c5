//! Webhook delivery repository: the table `webhook_delivery`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::ports::StorageResult;
use pilothouse_core::webhook::{
    LONGEST_PAUSE, WebhookDelivery, WebhookDeliveryId, WebhookDeliveryRepository,
};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO webhook_delivery (key, webhook, event, body, created, due, is_claimed, attempts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    /// On Postgres workers pass over what others are claiming at this moment; materialised, so that the limit is applied
    /// once. SQLite has one writer at a time.
    CLAIM: pair = [
        "WITH claimed AS MATERIALIZED (SELECT id FROM webhook_delivery WHERE webhook = $1 AND due <= $2 \
         ORDER BY due, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
         UPDATE webhook_delivery SET attempts = attempts + 1, due = $4, is_claimed = TRUE \
         WHERE id IN (SELECT id FROM claimed) RETURNING *",
        "UPDATE webhook_delivery SET attempts = attempts + 1, due = $4, is_claimed = TRUE \
         WHERE id IN (SELECT id FROM webhook_delivery WHERE webhook = $1 AND due <= $2 \
         ORDER BY due, id LIMIT $3) RETURNING *",
    ];
    /// Those claimed for longer than a lease, or due further away than any pause is long: written by a clock that was ahead.
    END_VOID = "UPDATE webhook_delivery SET due = $2 \
         WHERE webhook = $1 AND due > $3 AND (is_claimed OR due > $4)";
    POSTPONE = "UPDATE webhook_delivery SET due = $3, is_claimed = FALSE WHERE id = $1 AND attempts = $2";
    DELETE = "DELETE FROM webhook_delivery WHERE id = $1";
    PRUNE = "DELETE FROM webhook_delivery WHERE created < $1";
}

impl FromRow for WebhookDelivery {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            key: row.get("key")?,
            webhook: row.get("webhook")?,
            event: row.get("event")?,
            body: row.get("body")?,
            created: row.get("created")?,
            due: row.get("due")?,
            is_claimed: row.get("is_claimed")?,
            attempts: row.get("attempts")?,
        })
    }
}

#[async_trait]
impl WebhookDeliveryRepository for Transaction {
    async fn insert(&mut self, delivery: &WebhookDelivery) -> StorageResult<WebhookDeliveryId> {
        let WebhookDelivery { key, webhook, event, body, .. } = delivery;
        let &WebhookDelivery { created, due, is_claimed, attempts, .. } = delivery;
        let values = values![key, webhook, event, body, created, due, is_claimed, attempts];
        self.connection.one(INSERT, values).await
    }

    async fn claim(
        &mut self,
        webhook: &str,
        now: DateTime<Utc>,
        lease: Lease,
        count: i64,
    ) -> StorageResult<Vec<WebhookDelivery>> {
        let values = values![webhook, now, lease.latest_end(now), LONGEST_PAUSE.latest_end(now)];
        self.connection.execute(END_VOID, values).await?;
        let values = values![webhook, now, count, lease.end(now)];
        let mut claimed: Vec<WebhookDelivery> = self.connection.all(CLAIM, values).await?;
        claimed.sort_unstable_by_key(|delivery| delivery.id);
        Ok(claimed)
    }

    async fn postpone(&mut self, delivery: &WebhookDelivery) -> StorageResult<bool> {
        let values = values![delivery.id, delivery.attempts, delivery.due];
        Ok(self.connection.execute(POSTPONE, values).await? > 0)
    }

    async fn delete(&mut self, id: WebhookDeliveryId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before]).await
    }
}
