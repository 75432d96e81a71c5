//! Vendor log repository over the state in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::OrdMap;
use pilothouse_core::cdn::{CdnId, VendorLogFile, VendorLogPull, VendorLogRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Looks by cdn and domain, and the begin of each fetched file by cdn, domain and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct VendorLogs {
    pulls: OrdMap<(CdnId, String), VendorLogPull>,
    files: OrdMap<(CdnId, String, String), DateTime<Utc>>,
}

#[async_trait]
impl VendorLogRepository for Transaction {
    async fn put(&mut self, pull: &VendorLogPull) -> StorageResult<()> {
        let key = (pull.cdn_id, pull.domain.clone());
        self.state_mut()?.cdn.vendor_logs.pulls.insert(key, pull.clone());
        Ok(())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId) -> StorageResult<Vec<VendorLogPull>> {
        let pulls = self.state().cdn.vendor_logs.pulls.values();
        Ok(pulls.filter(|pull| pull.cdn_id == cdn_id).cloned().collect())
    }

    async fn insert(&mut self, file: &VendorLogFile) -> StorageResult<bool> {
        let files = &mut self.state_mut()?.cdn.vendor_logs.files;
        let key = (file.cdn_id, file.domain.clone(), file.name.clone());
        if files.contains_key(&key) {
            return Ok(false);
        }
        files.insert(key, file.from);
        Ok(true)
    }

    async fn names(&mut self, cdn_id: CdnId, domain: &str) -> StorageResult<Vec<String>> {
        let keys = self.state().cdn.vendor_logs.files.keys();
        let own = keys.filter(|(of_cdn, of_domain, _)| *of_cdn == cdn_id && of_domain == domain);
        Ok(own.map(|(_, _, name)| name.clone()).collect())
    }

    async fn forget(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        let files = &mut self.state_mut()?.cdn.vendor_logs.files;
        let count = files.len();
        *files = files
            .iter()
            .filter(|(_, from)| **from >= before)
            .map(|(key, from)| (key.clone(), *from))
            .collect();
        Ok((count - files.len()) as u64)
    }
}
