//! Vendor spending repository over the state in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::Vector;
use pilothouse_core::cdn::{VendorSpending, VendorSpendingRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Rows of spending; one per cdn, operation, quota, customer and day.
pub(crate) type VendorSpendings = Vector<VendorSpending>;

#[async_trait]
impl VendorSpendingRepository for Transaction {
    async fn spend(&mut self, spending: &VendorSpending) -> StorageResult<()> {
        let rows = &mut self.state_mut()?.cdn.vendor_spending;
        let same = |row: &&mut VendorSpending| {
            VendorSpending { items: spending.items, ..(**row).clone() } == *spending
        };
        match rows.iter_mut().find(same) {
            Some(row) => row.items += spending.items,
            None => rows.push_back(spending.clone()),
        }
        Ok(())
    }

    async fn of_cdn(&mut self, cdn: &str) -> StorageResult<Vec<VendorSpending>> {
        let rows = self.state().cdn.vendor_spending.iter();
        let mut own: Vec<_> = rows.filter(|row| row.cdn == cdn).cloned().collect();
        own.sort_by(|a, b| {
            let days = a.pool.cmp(&b.pool).then(a.resets_at.cmp(&b.resets_at));
            a.operation.cmp(&b.operation).then(days).then(a.account_id.cmp(&b.account_id))
        });
        Ok(own)
    }

    async fn forget(&mut self, cdn: &str, before: DateTime<Utc>) -> StorageResult<()> {
        self.state_mut()?.cdn.vendor_spending.retain(|row| row.cdn != cdn || row.resets_at >= before);
        Ok(())
    }
}
