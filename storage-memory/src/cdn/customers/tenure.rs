//! Ended tenures of domains.

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{CdnId, DomainId, Tenure, TenureRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Ended tenures by domain and begin.
pub(crate) type TenureRows = OrdMap<(DomainId, i64), Tenure>;

#[async_trait]
impl TenureRepository for Transaction {
    async fn insert(&mut self, tenure: &Tenure) -> StorageResult<()> {
        self.state_mut()?.cdn.tenures.insert((tenure.domain_id, tenure.since), tenure.clone());
        Ok(())
    }

    async fn last_end(&mut self, cdn_id: CdnId, name: &str) -> StorageResult<Option<i64>> {
        let of_name = self.state().cdn.tenures.values().filter(|tenure| tenure.cdn_id == cdn_id);
        Ok(of_name.filter(|tenure| tenure.name == name).map(|tenure| tenure.until).max())
    }

    async fn of_cdn(&mut self, cdn_id: CdnId, after: i64) -> StorageResult<Vec<Tenure>> {
        let of_cdn = self.state().cdn.tenures.values().filter(|tenure| tenure.cdn_id == cdn_id);
        Ok(of_cdn.filter(|tenure| tenure.until > after).cloned().collect())
    }

    async fn of_account(&mut self, account_id: AccountId, after: i64) -> StorageResult<Vec<Tenure>> {
        let of_account = self.state().cdn.tenures.values().filter(|tenure| tenure.account_id == account_id);
        Ok(of_account.filter(|tenure| tenure.until > after).cloned().collect())
    }
}
