//! Repository of app keys over the state in memory.

use async_trait::async_trait;
use pilothouse_core::config::{AppId, AppKey, AppKeyId, AppKeyRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl AppKeyRepository for Transaction {
    async fn insert(&mut self, key: &AppKey) -> StorageResult<Option<AppKeyId>> {
        let keys = &mut self.state_mut()?.config.keys;
        if keys.iter().any(|known| known.digest == key.digest) {
            return Ok(None);
        }
        Ok(Some(keys.insert(|id| AppKey { id, ..key.clone() })))
    }

    async fn find(&mut self, id: AppKeyId) -> StorageResult<Option<AppKey>> {
        Ok(self.state().config.keys.get(id).cloned())
    }

    async fn app_by_digest(&mut self, digest: &[u8; 32]) -> StorageResult<Option<AppId>> {
        Ok(self.state().config.keys.iter().find(|key| key.digest == *digest).map(|key| key.app))
    }

    async fn of_app(&mut self, app: AppId) -> StorageResult<Vec<AppKey>> {
        Ok(self.state().config.keys.iter().filter(|key| key.app == app).cloned().collect())
    }

    async fn ids(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, AppKeyId)>> {
        let keys = self.state().config.keys.iter().filter(|key| apps.contains(&key.app));
        Ok(keys.map(|key| (key.app, key.id)).collect())
    }

    async fn delete(&mut self, id: AppKeyId) -> StorageResult<bool> {
        Ok(self.state_mut()?.config.keys.remove(id))
    }
}
