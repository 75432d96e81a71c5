//! Account repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{Account, AccountId, AccountRepository, Group};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Whether an account is disabled or not, as is asked for, if it is.
fn passes(account: &Account, is_disabled: Option<bool>) -> bool {
    is_disabled.is_none_or(|asked| account.is_disabled == asked)
}

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

    async fn names(&mut self) -> StorageResult<Vec<String>> {
        Ok(self.state().account.accounts.iter().map(|account| account.name.clone()).collect())
    }

    async fn list(&mut self, is_disabled: Option<bool>, page: Page) -> StorageResult<Vec<Account>> {
        Ok(self.state().account.accounts.page(page, |account| passes(account, is_disabled)))
    }

    async fn count(&mut self, is_disabled: Option<bool>) -> StorageResult<u64> {
        Ok(self.state().account.accounts.count(0, i64::MAX, |account| passes(account, is_disabled)))
    }

    async fn count_holding(&mut self, group: Group) -> StorageResult<u64> {
        Ok(self
            .state()
            .account
            .accounts
            .iter()
            .filter(|account| account.groups.holds(group) && !account.is_disabled)
            .count() as u64)
    }

    async fn update(&mut self, account: &Account) -> StorageResult<bool> {
        match self.state_mut()?.account.accounts.get_mut(account.id) {
            Some(held) if held.version == account.version => {
                held.department.clone_from(&account.department);
                held.groups = account.groups;
                held.password.clone_from(&account.password);
                held.is_disabled = account.is_disabled;
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
