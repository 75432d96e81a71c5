//! Releases.

use async_trait::async_trait;
use pilothouse_core::config::{
    AppId, Deliverable, ItemId, Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl ReleaseRepository for Transaction {
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId> {
        Ok(self.state_mut()?.config.releases.insert(|id| Release { id, ..release.clone() }))
    }

    async fn by_id(&mut self, id: ReleaseId) -> StorageResult<Option<Release>> {
        Ok(self.state().config.releases.get(id).cloned())
    }

    async fn end(
        &mut self,
        item: ItemId,
        kind: Option<ReleaseKind>,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()> {
        let releases = &mut self.state_mut()?.config.releases;
        let active = releases.iter().filter(|held| {
            held.item == item
                && held.state == ReleaseState::Active
                && kind.is_none_or(|kind| held.kind == kind)
        });
        let active: Vec<_> = active.map(|held| held.id).collect();
        for id in active {
            if let Some(held) = releases.get_mut(id) {
                held.state = state;
                held.end_revision = Some(revision);
            }
        }
        Ok(())
    }

    async fn active(&mut self, item: ItemId) -> StorageResult<Vec<Release>> {
        let releases = self.state().config.releases.iter();
        let active = releases.filter(|held| held.item == item && held.state == ReleaseState::Active);
        Ok(active.cloned().collect())
    }

    async fn list(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        limit: i64,
    ) -> StorageResult<Vec<(Release, String)>> {
        let config = &self.state().config;
        let mut releases: Vec<_> = config
            .releases
            .iter()
            .filter_map(|release| {
                let item = config.items.get(release.item)?;
                let wanted = item.app == app && item.profile == profile;
                let wanted = wanted && key.is_none_or(|key| key == item.key);
                wanted.then(|| (release.clone(), item.key.clone()))
            })
            .collect();
        releases.reverse();
        releases.truncate(usize::try_from(limit).unwrap_or(0));
        Ok(releases)
    }

    async fn since(&mut self, app: AppId, revision: i64, whole: bool) -> StorageResult<Vec<Deliverable>> {
        let config = &self.state().config;
        let is_last = |release: &Release| {
            let later = config.releases.from(release.id + 1);
            later.into_iter().all(|other| other.item != release.item)
        };
        let wanted = |release: &Release| {
            let ended = release.end_revision;
            release.revision > revision
                || ended.is_some_and(|end| end > revision)
                || whole && (ended.is_none() || is_last(release))
        };
        let releases = config.releases.iter().filter_map(|release| {
            let item = config.items.get(release.item).filter(|item| item.app == app)?;
            let value = || item.version(release.version).map(|version| version.content.value.clone());
            wanted(release).then(|| Deliverable {
                release: release.clone(),
                profile: item.profile.clone(),
                key: item.key.clone(),
                value: if release.end_revision.is_none() { value() } else { None },
            })
        });
        Ok(releases.collect())
    }
}
