//! Releases.

use async_trait::async_trait;
use pilothouse_core::config::{ItemId, Release, ReleaseId, ReleaseRepository, ReleaseState};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl ReleaseRepository for Transaction {
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId> {
        Ok(self.state_mut()?.config.releases.insert(|id| Release { id, ..release.clone() }))
    }

    async fn supersede(&mut self, item: ItemId) -> StorageResult<()> {
        let releases = &mut self.state_mut()?.config.releases;
        let active = releases.iter().filter(|held| held.item == item && held.state == ReleaseState::Active);
        let active: Vec<_> = active.map(|held| held.id).collect();
        for id in active {
            if let Some(held) = releases.get_mut(id) {
                held.state = ReleaseState::Superseded;
            }
        }
        Ok(())
    }

    async fn of_item(&mut self, item: ItemId) -> StorageResult<Vec<Release>> {
        let mut releases: Vec<_> =
            self.state().config.releases.iter().filter(|held| held.item == item).cloned().collect();
        releases.reverse();
        Ok(releases)
    }
}
