//! Service repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::cdn::{CdnId, CdnServiceRepository};
use pilothouse_core::ports::{ServedDomain, StorageResult};

use crate::storage::Transaction;

#[async_trait]
impl CdnServiceRepository for Transaction {
    async fn replace(&mut self, cdn_id: CdnId, served: &[ServedDomain]) -> StorageResult<()> {
        let mut served = served.to_vec();
        served.sort_unstable();
        self.state_mut()?.cdn.services.insert(cdn_id, served);
        Ok(())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<ServedDomain>> {
        Ok(self.state().cdn.services.get(&cdn_id).cloned().unwrap_or_default())
    }
}
