//! Spending of a vendor's quotas by customer, which the share of one customer is measured by.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::account::AccountId;
use crate::ports::{Operation, StorageResult};

/// Items of one day's quota that a customer had sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorSpending {
    /// Name of the cdn.
    pub cdn: String,
    /// Operation that the quota is spent by.
    pub operation: Operation,
    /// Name of the quota, in the words of the vendor.
    pub pool: String,
    /// Account of the customer.
    pub account_id: AccountId,
    /// Time at which the quota begins anew, which tells its day.
    pub resets_at: DateTime<Utc>,
    /// Number of items.
    pub items: i64,
}

/// Spending of vendors' quotas in a store. Only the server that leads a cdn writes that of it.
#[async_trait]
pub trait VendorSpendingRepository: Send {
    /// Adds items to what is stored of the same cdn, operation, quota, customer and day.
    async fn spend(&mut self, spending: &VendorSpending) -> StorageResult<()>;
    /// Spending of a cdn's quotas by operation, quota, day and customer.
    async fn of_cdn(&mut self, cdn: &str) -> StorageResult<Vec<VendorSpending>>;
    /// Forgets what was spent of a cdn's quotas that began anew before a time.
    async fn forget(&mut self, cdn: &str, before: DateTime<Utc>) -> StorageResult<()>;
}
