//! Customer repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Cdn, CdnId, Customer, CustomerOverview, CustomerRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use pilothouse_core::{Order, Page};

use crate::cdn::CdnState;
use crate::storage::Transaction;

impl CdnState {
    fn cdns_of(&self, account_id: AccountId) -> Vec<Cdn> {
        let mapped = self.cdns.iter().filter_map(|held| {
            let alias = self.mappings.get(&(account_id, held.id))?;
            Some(Cdn { id: held.id, name: alias.as_ref().unwrap_or(&held.name).clone() })
        });
        mapped.collect()
    }

    fn overview(&self, customer: &Customer) -> CustomerOverview {
        let held = self.held().filter(|domain| domain.account_id == customer.account_id);
        let names: BTreeSet<&str> = held.map(|domain| &*domain.name).collect();
        CustomerOverview {
            customer: customer.clone(),
            cdns: self.cdns_of(customer.account_id),
            domains: i64::try_from(names.len()).unwrap_or(i64::MAX),
        }
    }
}

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

    async fn list(&mut self, page: Page) -> StorageResult<Vec<CustomerOverview>> {
        let cdn = &self.state().cdn;
        let mut asked: Vec<_> =
            cdn.customers.values().filter(|customer| page.has(customer.account_id)).collect();
        if page.order == Order::Newest {
            asked.reverse();
        }
        asked.truncate(usize::try_from(page.count).unwrap_or(0));
        Ok(asked.into_iter().map(|customer| cdn.overview(customer)).collect())
    }

    async fn count(&mut self) -> StorageResult<u64> {
        Ok(self.state().cdn.customers.len() as u64)
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
        Ok(self.state().cdn.cdns_of(account_id))
    }

    async fn map(&mut self, account_id: AccountId, cdn_id: CdnId, alias: Option<&str>) -> StorageResult<()> {
        self.state_mut()?.cdn.mappings.insert((account_id, cdn_id), alias.map(str::to_owned));
        Ok(())
    }
}
