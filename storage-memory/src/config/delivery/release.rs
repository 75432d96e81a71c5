//! Release repository over the state in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::config::{
    AppId, Deliverable, GreysBeside, ItemId, PartId, Release, ReleaseId, ReleaseKind, ReleasePart,
    ReleaseRepository, ReleaseSize, ReleaseState, ReleaseSummary, ReleasedItem,
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

    async fn summaries(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSummary>> {
        let config = &self.state().config;
        let wanted: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let mut summaries: BTreeMap<ReleaseId, ReleaseSummary> = BTreeMap::new();
        for part in config.releases.iter().filter(|part| wanted.contains(&part.head())) {
            if part.set.is_none()
                && let Some(item) = config.items.get(part.item)
            {
                let (first, key) = (part.clone(), item.key.clone());
                summaries.insert(part.id, ReleaseSummary { first, key, parts: [0; 4] });
            }
            if let Some(summary) = summaries.get_mut(&part.head()) {
                summary.parts[part.state as usize] += 1;
            }
        }
        Ok(summaries.into_values().collect())
    }

    async fn items_of(&mut self, release: ReleaseId) -> StorageResult<Vec<ReleasedItem>> {
        let parts = self.parts(&[release]).await?.into_iter();
        Ok(parts.map(|(part, key)| ReleasedItem { item: part.item, key, version: part.version }).collect())
    }

    async fn sizes(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSize>> {
        let wanted: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let mut sizes: BTreeMap<ReleaseId, ReleaseSize> = BTreeMap::new();
        for part in self.state().config.releases.iter().filter(|part| wanted.contains(&part.head())) {
            let release = part.head();
            let size = sizes.entry(release).or_insert(ReleaseSize { release, parts: 0, versions: 0 });
            size.parts += 1;
            size.versions += i64::from(part.version > 0);
        }
        Ok(sizes.into_values().filter(|size| size.parts > 1).collect())
    }

    async fn part_versions(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleasePart>> {
        let wanted: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let table = &self.state().config.releases;
        let parts = table.iter().filter(|part| wanted.contains(&part.head()));
        let part = |part: &Release| {
            let origin = part.origin.and_then(|origin| table.get(origin));
            let origin = origin.map(|origin| PartId { release: origin.head(), part: origin.id });
            ReleasePart { release: part.head(), part: part.id, version: part.version, origin }
        };
        Ok(parts.map(part).collect())
    }

    async fn followers(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseId>> {
        let wanted: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let table = &self.state().config.releases;
        let followers = table.iter().filter(|part| {
            let origin = part.origin.and_then(|origin| table.get(origin));
            origin.is_some_and(|origin| wanted.contains(&origin.head()))
        });
        let followers: BTreeSet<ReleaseId> = followers.map(Release::head).collect();
        Ok(followers.into_iter().collect())
    }

    async fn greys_beside(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<GreysBeside>> {
        let wanted: BTreeSet<ReleaseId> = releases.iter().copied().collect();
        let active = self.state().config.releases.iter().filter(|held| held.state == ReleaseState::Active);
        let active: Vec<&Release> = active.collect();
        let mut lists: BTreeMap<ReleaseId, Option<BTreeSet<&[String]>>> = BTreeMap::new();
        for part in active.iter().filter(|part| wanted.contains(&part.head())) {
            let is_grey = |held: &&&Release| held.kind == ReleaseKind::Grey && held.item == part.item;
            let grey = active.iter().find(is_grey).filter(|_| part.kind == ReleaseKind::Full);
            let list = lists.entry(part.head()).or_insert_with(|| Some(BTreeSet::new()));
            match (grey, list.as_mut()) {
                (Some(grey), Some(list)) => drop(list.insert(&grey.nodes)),
                _ => *list = None,
            }
        }
        let lists = lists.into_iter().flat_map(|(release, lists)| {
            let greys = move |nodes: &[String]| GreysBeside { release, nodes: nodes.to_vec() };
            lists.into_iter().flatten().map(greys).collect::<Vec<_>>()
        });
        Ok(lists.collect())
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
            let value = || item.version(release.version).map(|version| Arc::from(&*version.content.value));
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
