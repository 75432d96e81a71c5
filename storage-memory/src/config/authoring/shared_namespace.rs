//! Repository of shared namespaces over the state in memory.

use async_trait::async_trait;
use pilothouse_core::Epoch;
use pilothouse_core::config::{AppId, SharedNamespace, SharedNamespaceRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl SharedNamespaceRepository for Transaction {
    async fn list(&mut self) -> StorageResult<Vec<SharedNamespace>> {
        Ok(self.state().config.shared_namespaces.values().cloned().collect())
    }

    async fn find(&mut self, name: &str) -> StorageResult<Option<SharedNamespace>> {
        Ok(self.state().config.shared_namespaces.get(name).cloned())
    }

    async fn share(&mut self, name: &str, app: AppId) -> StorageResult<bool> {
        let new = SharedNamespace { name: name.to_owned(), app: None, epoch: Epoch::default(), base: 0 };
        let held = self.state_mut()?.config.shared_namespaces.entry(name.to_owned()).or_insert(new);
        if held.app.is_some() {
            return Ok(false);
        }
        held.app = Some(app);
        held.base += 1;
        Ok(true)
    }

    async fn withdraw(&mut self, name: &str, app: AppId, epoch: Epoch, revision: i64) -> StorageResult<bool> {
        let Some(held) = self.state_mut()?.config.shared_namespaces.get_mut(name) else { return Ok(false) };
        if held.app != Some(app) {
            return Ok(false);
        }
        held.app = None;
        held.epoch = held.epoch.max(epoch);
        held.base += revision + 1;
        Ok(true)
    }
}
