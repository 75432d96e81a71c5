//! Threshold repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Threshold, ThresholdRepository};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::storage::Transaction;

#[async_trait]
impl ThresholdRepository for Transaction {
    async fn put(&mut self, threshold: &Threshold) -> StorageResult<()> {
        let cdn = &mut self.state_mut()?.cdn;
        if !cdn.customers.contains_key(&threshold.account_id) {
            return Err(StorageError::backend("no such customer"));
        }
        cdn.thresholds.insert((threshold.account_id, threshold.domain.clone()), threshold.clone());
        Ok(())
    }

    async fn find(&mut self, account_id: AccountId, domain: &str) -> StorageResult<Option<Threshold>> {
        Ok(self.state().cdn.thresholds.get(&(account_id, domain.to_owned())).cloned())
    }

    async fn of_account(&mut self, account_id: AccountId) -> StorageResult<Vec<Threshold>> {
        let thresholds = self.state().cdn.thresholds.values();
        Ok(thresholds.filter(|threshold| threshold.account_id == account_id).cloned().collect())
    }

    async fn accounts(&mut self) -> StorageResult<Vec<AccountId>> {
        let accounts: BTreeSet<_> = self.state().cdn.thresholds.keys().map(|(account, _)| *account).collect();
        Ok(accounts.into_iter().collect())
    }

    async fn delete(&mut self, account_id: AccountId, domain: &str) -> StorageResult<bool> {
        Ok(self.state_mut()?.cdn.thresholds.remove(&(account_id, domain.to_owned())).is_some())
    }
}
