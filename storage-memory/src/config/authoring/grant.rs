//! Grant repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, Grant, GrantId, GrantRepository, Permission};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl GrantRepository for Transaction {
    async fn insert(&mut self, grant: &Grant) -> StorageResult<Option<GrantId>> {
        let grants = &mut self.state_mut()?.config.grants;
        let same = |held: &Grant| {
            (held.account, held.app, &held.profile) == (grant.account, grant.app, &grant.profile)
        };
        if grants.iter().any(same) {
            return Ok(None);
        }
        Ok(Some(grants.insert(|id| Grant { id, ..grant.clone() })))
    }

    async fn find(&mut self, id: GrantId) -> StorageResult<Option<Grant>> {
        Ok(self.state().config.grants.get(id).cloned())
    }

    async fn list(&mut self, app: Option<AppId>) -> StorageResult<Vec<Grant>> {
        Ok(self.state().config.grants.iter().filter(|grant| grant.app == app).cloned().collect())
    }

    async fn held(&mut self, account: AccountId, app: Option<AppId>) -> StorageResult<Vec<Grant>> {
        let grants = self.state().config.grants.iter().filter(|grant| grant.account == account);
        Ok(grants.filter(|grant| grant.app.is_none() || grant.app == app).cloned().collect())
    }

    async fn update(&mut self, id: GrantId, permission: Permission) -> StorageResult<bool> {
        let Some(held) = self.state_mut()?.config.grants.get_mut(id) else { return Ok(false) };
        held.permission = permission;
        Ok(true)
    }

    async fn delete(&mut self, id: GrantId) -> StorageResult<bool> {
        Ok(self.state_mut()?.config.grants.remove(id))
    }
}
