//! Accounts.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{Account, AccountId, AccountRepository, Group};
use pilothouse_core::ports::StorageResult;

use crate::state::page_of;
use crate::storage::Transaction;

#[async_trait]
impl AccountRepository for Transaction {
    async fn insert(&mut self, account: &Account) -> StorageResult<Option<AccountId>> {
        let mail = account.mail.to_lowercase();
        let accounts = &mut self.state_mut()?.account.accounts;
        if accounts.iter().any(|held| held.name == account.name || held.mail.to_lowercase() == mail) {
            return Ok(None);
        }
        Ok(Some(accounts.insert(|id| Account { id, version: 1, ..account.clone() })))
    }

    async fn by_id(&mut self, id: AccountId) -> StorageResult<Option<Account>> {
        Ok(self.state().account.accounts.get(id).cloned())
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Account>> {
        Ok(self.state().account.accounts.iter().find(|account| account.name == name).cloned())
    }

    async fn by_mail(&mut self, mail: &str) -> StorageResult<Option<Account>> {
        let mail = mail.to_lowercase();
        Ok(self.state().account.accounts.iter().find(|account| account.mail.to_lowercase() == mail).cloned())
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Account>> {
        Ok(page_of(self.state().account.accounts.from(page.start), page))
    }

    async fn count_holding(&mut self, group: Group) -> StorageResult<u64> {
        Ok(self.state().account.accounts.iter().filter(|account| account.groups.holds(group)).count() as u64)
    }

    async fn update(&mut self, account: &Account) -> StorageResult<bool> {
        match self.state_mut()?.account.accounts.get_mut(account.id) {
            Some(held) if held.version == account.version => {
                held.department.clone_from(&account.department);
                held.groups = account.groups;
                held.password.clone_from(&account.password);
                held.version += 1;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&mut self, id: AccountId) -> StorageResult<bool> {
        let state = self.state_mut()?;
        state.account.tokens.retain(|(token, _)| token.account != id);
        state.cdn.account_deleted(id);
        state.config.grants.retain(|grant| grant.account != id);
        Ok(state.account.accounts.remove(id))
    }
}
