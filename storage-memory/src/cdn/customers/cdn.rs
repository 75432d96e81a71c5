//! Cdn repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::cdn::{Cdn, CdnId, CdnRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl CdnRepository for Transaction {
    async fn insert(&mut self, name: &str) -> StorageResult<Option<CdnId>> {
        let cdns = &mut self.state_mut()?.cdn.cdns;
        if cdns.iter().any(|held| held.name == name) {
            return Ok(None);
        }
        Ok(Some(cdns.insert(|id| Cdn { id, name: name.to_owned() })))
    }

    async fn by_id(&mut self, id: CdnId) -> StorageResult<Option<Cdn>> {
        Ok(self.state().cdn.cdns.get(id).cloned())
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Cdn>> {
        Ok(self.state().cdn.cdns.iter().find(|cdn| cdn.name == name).cloned())
    }

    async fn list(&mut self) -> StorageResult<Vec<Cdn>> {
        Ok(self.state().cdn.cdns.iter().cloned().collect())
    }

    async fn rename(&mut self, cdn: &Cdn) -> StorageResult<bool> {
        let cdns = &mut self.state_mut()?.cdn.cdns;
        if cdns.iter().any(|held| held.name == cdn.name && held.id != cdn.id) {
            return Ok(false);
        }
        let Some(held) = cdns.get_mut(cdn.id) else { return Ok(false) };
        held.name.clone_from(&cdn.name);
        Ok(true)
    }
}
