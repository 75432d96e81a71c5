//! Vendor batch repository over the state in memory.

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::cdn::{VendorBatch, VendorBatchRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Batches by their id.
pub(crate) type VendorBatches = OrdMap<String, VendorBatch>;

#[async_trait]
impl VendorBatchRepository for Transaction {
    async fn insert(&mut self, batch: &VendorBatch) -> StorageResult<bool> {
        let batches = &mut self.state_mut()?.cdn.vendor_batches;
        let is_new = !batches.contains_key(&batch.id);
        if is_new {
            batches.insert(batch.id.clone(), batch.clone());
        }
        Ok(is_new)
    }

    async fn update(&mut self, batch: &VendorBatch) -> StorageResult<bool> {
        let held = self.state_mut()?.cdn.vendor_batches.get_mut(&batch.id);
        Ok(held.map(|held| *held = VendorBatch { cdn: held.cdn.clone(), ..batch.clone() }).is_some())
    }

    async fn remove(&mut self, id: &str) -> StorageResult<bool> {
        Ok(self.state_mut()?.cdn.vendor_batches.remove(id).is_some())
    }

    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<VendorBatch>> {
        let batches = self.state().cdn.vendor_batches.values();
        let mut own: Vec<_> = batches.filter(|batch| batch.cdn == cdn).cloned().collect();
        own.sort_by_key(|batch| batch.accepted_at);
        Ok(own)
    }
}
