//! Customers.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Cdn, CdnId, Customer, CustomerRepository};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::storage::Transaction;

#[async_trait]
impl CustomerRepository for Transaction {
    async fn insert(&mut self, customer: &Customer) -> StorageResult<bool> {
        let state = self.state_mut()?;
        let account = state.account.accounts.get(customer.account_id);
        let mail = account.ok_or_else(|| StorageError::backend("no such account"))?.mail.clone();
        if state.cdn.customers.contains_key(&customer.account_id) {
            return Ok(false);
        }
        state.cdn.customers.insert(customer.account_id, Customer { mail, version: 1, ..customer.clone() });
        Ok(true)
    }

    async fn find(&mut self, account_id: AccountId) -> StorageResult<Option<Customer>> {
        Ok(self.state().cdn.customers.get(&account_id).cloned())
    }

    async fn update(&mut self, customer: &Customer) -> StorageResult<bool> {
        match self.state_mut()?.cdn.customers.get_mut(&customer.account_id) {
            Some(held) if held.version == customer.version => {
                held.password.clone_from(&customer.password);
                held.operations = customer.operations;
                held.version += 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&mut self, account_id: AccountId) -> StorageResult<bool> {
        Ok(self.state_mut()?.cdn.end_access(account_id))
    }

    async fn cdns(&mut self, account_id: AccountId) -> StorageResult<Vec<Cdn>> {
        let cdn = &self.state().cdn;
        let mapped = cdn.cdns.iter().filter(|held| cdn.mappings.contains(&(account_id, held.id)));
        Ok(mapped.cloned().collect())
    }

    async fn map(&mut self, account_id: AccountId, cdn_id: CdnId) -> StorageResult<()> {
        self.state_mut()?.cdn.mappings.insert((account_id, cdn_id));
        Ok(())
    }
}
