//! Release repository over the state in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pilothouse_core::Page;
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

    async fn insert_parts(&mut self, parts: &[Release]) -> StorageResult<()> {
        let releases = &mut self.state_mut()?.config.releases;
        for part in parts {
            releases.insert(|id| Release { id, ..part.clone() });
        }
        Ok(())
    }

    async fn end_all(
        &mut self,
        items: &[ItemId],
        kind: ReleaseKind,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()> {
        for release in self.active_of(items).await?.iter().filter(|release| release.kind == kind) {
            if let Some(held) = self.state_mut()?.config.releases.get_mut(release.id) {
                held.state = state;
                held.end_revision = Some(revision);
            }
        }
        self.state_mut().map(|_| ())
    }

    async fn active_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<Release>> {
        let items: BTreeSet<ItemId> = items.iter().copied().collect();
        let releases = self.state().config.releases.iter();
        let active = releases.filter(|held| held.state == ReleaseState::Active && items.contains(&held.item));
        Ok(active.cloned().collect())
    }

    async fn ended_at(&mut self, items: &[ItemId], revision: i64) -> StorageResult<Vec<Release>> {
        let items: BTreeSet<ItemId> = items.iter().copied().collect();
        let ended = self.state().config.releases.iter().filter(|held| {
            held.kind == ReleaseKind::Full
                && held.end_revision == Some(revision)
                && items.contains(&held.item)
        });
        Ok(ended.cloned().collect())
    }

    async fn parts(&mut self, of: &[ReleaseId]) -> StorageResult<Vec<(Release, String)>> {
        let of: BTreeSet<ReleaseId> = of.iter().copied().collect();
        let config = &self.state().config;
        let parts = config.releases.iter().filter(|part| of.contains(&part.head()));
        let keyed = parts.filter_map(|part| Some((part.clone(), config.items.get(part.item)?.key.clone())));
        Ok(keyed.collect())
    }

    async fn list_sets(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        page: Page,
    ) -> StorageResult<Vec<ReleaseId>> {
        let listed = ReleaseRepository::list(self, app, profile, key, i64::MAX).await?;
        let heads: BTreeSet<ReleaseId> = listed.iter().map(|(part, _)| part.head()).collect();
        let heads = heads.into_iter().rev().filter(|head| page.has(*head));
        Ok(heads.take(usize::try_from(page.count).unwrap_or(0)).collect())
    }

    async fn with_active(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemId>> {
        let items: BTreeSet<ItemId> = items.iter().copied().collect();
        let releases = self.state().config.releases.iter();
        let active = releases
            .filter(|held| held.state == ReleaseState::Active)
            .filter(|held| held.version > 0 || held.kind == ReleaseKind::Grey);
        let active: BTreeSet<ItemId> =
            active.map(|held| held.item).filter(|item| items.contains(item)).collect();
        Ok(active.into_iter().collect())
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
            let later = config.releases.from(ReleaseId(release.id.0 + 1));
            later.into_iter().all(|other| other.item != release.item)
        };
        let is_ended_last = |release: &Release| {
            let of_item = config.releases.iter().filter(|other| other.item == release.item);
            of_item.filter_map(|other| other.end_revision).max() == release.end_revision
        };
        let wanted = |release: &Release| {
            let ended = release.end_revision;
            release.revision > revision
                || ended.is_some_and(|end| end > revision)
                || whole && (ended.is_none() || is_last(release) || is_ended_last(release))
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
