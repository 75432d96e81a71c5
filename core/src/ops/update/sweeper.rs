//! Order sweeper: ends leases that were not renewed, and orders whose deadline passed.

use super::updates::save;
use crate::account::Entry;
use crate::ports::Topic;
use crate::{Error, Pilothouse, Result};

use super::{FileOrder, UPDATE_LEASE};

/// The most orders that one transaction ends, which keeps it short.
const AT_ONCE: i64 = 100;

/// Ends orders that lapsed. Several may run on one store: each order is changed by compare-and-set.
#[derive(Debug)]
pub struct OrderSweeper<'a>(&'a Pilothouse);

impl<'a> OrderSweeper<'a> {
    /// Over a domain.
    pub fn new(pilothouse: &'a Pilothouse) -> Self {
        Self(pilothouse)
    }

    /// Ends what has lapsed by the store's clock; how many orders.
    pub async fn sweep(&self) -> Result<u64> {
        let mut swept = 0;
        loop {
            let count = self.sweep_some().await?;
            swept += count;
            if count < AT_ONCE.unsigned_abs() {
                return Ok(swept);
            }
        }
    }

    async fn sweep_some(&self) -> Result<u64> {
        let mut work = self.0.storage().begin().await?;
        let now = work.now().await?;
        let latest = FileOrder::latest_due(now);
        let lapsed = work.orders().lapsed(now, UPDATE_LEASE, latest, AT_ONCE).await?;
        let mut ended: Vec<FileOrder> = Vec::new();
        for old in lapsed {
            let Some(new) = old.lapse(now).or_else(|| old.recalled(now)) else { continue };
            let new = match save(&mut *work, &old, new, now).await {
                Ok(new) => new,
                // A report came first; what it left lapses by itself.
                Err(Error::Conflict(_)) => continue,
                Err(error) => return Err(error),
            };
            let entry = Entry::new("update.lapse", old.task_id.to_string());
            let entry = entry.old(old.digest()).new_digest(new.digest());
            self.0.audit_process(&mut *work, "order sweeper", entry).await?;
            self.0.queue_order_event(&mut *work, &new).await?;
            ended.push(new);
        }
        if ended.is_empty() {
            work.rollback().await?;
            return Ok(0);
        }
        work.commit().await?;
        for order in &ended {
            let (task, state) = (order.task_id, order.state.as_str());
            tracing::warn!(%task, state, attempt = order.attempt, message = order.message, "an order lapsed");
            self.0.announce_order(order).await;
        }
        self.0.storage().announce(&[Topic::Batches]).await;
        Ok(ended.len() as u64)
    }
}
