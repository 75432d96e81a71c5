//! Configuration items and their versions.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use imbl::Vector;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    AppId, Content, HistoryPage, Item, ItemHead, ItemId, ItemRepository, ItemSearch, ItemVersion, NewItem,
    VersionOf, VersionSize, VersionedItem,
};
use pilothouse_core::ports::StorageResult;

use crate::config::ConfigState;
use crate::storage::Transaction;

/// An item, deleted or not.
#[derive(Clone, Debug)]
pub(crate) struct ItemRow {
    pub(crate) id: ItemId,
    pub(crate) app: AppId,
    pub(crate) profile: String,
    pub(crate) key: String,
    /// All of them, by number: the last is the current one.
    versions: Vector<ItemVersion>,
    published_version: i64,
    revision: i64,
    deleted: bool,
}

impl ItemRow {
    fn is(&self, app: AppId, profile: &str, key: &str) -> bool {
        self.app == app && self.profile == profile && self.key == key
    }

    fn add(&mut self, version: &ItemVersion) -> i64 {
        self.add_approved(&ItemVersion { approver: None, ..version.clone() })
    }

    /// Adds a version with its approver.
    fn add_approved(&mut self, version: &ItemVersion) -> i64 {
        let number = self.last() + 1;
        self.versions.push_back(ItemVersion { version: number, ..version.clone() });
        number
    }

    fn head(&self) -> Option<ItemHead> {
        let newest = self.versions.last()?;
        Some(ItemHead {
            item: self.id,
            key: self.key.clone(),
            version: newest.version,
            modifier: newest.modifier,
            approver: newest.approver,
            published_version: self.published_version,
            is_deleted: self.deleted,
        })
    }

    /// The newest version.
    pub(crate) fn current(&self) -> Option<&ItemVersion> {
        self.versions.last()
    }

    fn last(&self) -> i64 {
        self.versions.last().map_or(0, |version| version.version)
    }

    pub(crate) fn version(&self, number: i64) -> Option<&ItemVersion> {
        let place = self.versions.binary_search_by_key(&number, |version| version.version).ok()?;
        self.versions.get(place)
    }

    fn version_mut(&mut self, number: i64) -> Option<&mut ItemVersion> {
        let place = self.versions.binary_search_by_key(&number, |version| version.version).ok()?;
        self.versions.get_mut(place)
    }

    /// Whether it is not deleted.
    pub(crate) fn is_live(&self) -> bool {
        !self.deleted
    }

    /// Whether its current version is not the published one.
    pub(crate) fn is_draft(&self) -> bool {
        self.last() != self.published_version
    }

    /// Whether its current version says what the published one does.
    pub(crate) fn says_what_is_published(&self) -> bool {
        let published = self.version(self.published_version);
        let current = self.current();
        published.zip(current).is_some_and(|(published, current)| published.content == current.content)
    }

    fn item(&self) -> Option<Item> {
        let published = self.version(self.published_version);
        Some(Item {
            id: self.id,
            app: self.app,
            profile: self.profile.clone(),
            key: self.key.clone(),
            current: self.versions.last()?.clone(),
            published_version: self.published_version,
            published_value: published.map(|version| version.content.value.clone()).unwrap_or_default(),
        })
    }
}

impl ConfigState {
    /// The items that are not deleted.
    fn live(&self) -> impl Iterator<Item = &ItemRow> {
        self.items.iter().filter(|item| !item.deleted)
    }

    /// An item, deleted or not.
    fn held(&self, app: AppId, profile: &str, key: &str) -> Option<&ItemRow> {
        self.items.iter().find(|item| item.is(app, profile, key))
    }

    /// The item of a key that is created, or again; `None` where it is there.
    fn create(&mut self, app: AppId, profile: &str, key: &str) -> Option<&mut ItemRow> {
        let id = match self.held(app, profile, key) {
            Some(item) if !item.deleted => return None,
            Some(item) => item.id,
            None => self.add_row(app, profile, key),
        };
        let item = self.items.get_mut(id)?;
        item.deleted = false;
        Some(item)
    }

    /// Adds an item without versions.
    fn add_row(&mut self, app: AppId, profile: &str, key: &str) -> ItemId {
        self.items.insert(|id| ItemRow {
            id,
            app,
            profile: profile.to_owned(),
            key: key.to_owned(),
            versions: Vector::new(),
            published_version: 0,
            revision: 0,
            deleted: false,
        })
    }

    /// The versions of a page of a history, newest first.
    fn versions(&self, page: &HistoryPage<'_>) -> impl Iterator<Item = &ItemVersion> {
        let item = self.held(page.app, page.profile, page.key);
        let versions = item.into_iter().flat_map(|item| item.versions.iter().rev());
        let before = page.before;
        let count = usize::try_from(page.count).unwrap_or_default();
        versions.filter(move |version| version.version < before).take(count)
    }

    /// That item, where `version` is its current one and it is not deleted.
    fn current_mut(&mut self, id: ItemId, version: i64) -> Option<&mut ItemRow> {
        self.items.get_mut(id).filter(|item| item.last() == version && !item.deleted)
    }
}

#[async_trait]
impl ItemRepository for Transaction {
    async fn insert(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        first: &ItemVersion,
    ) -> StorageResult<Option<(ItemId, i64)>> {
        let config = &mut self.state_mut()?.config;
        let Some(item) = config.create(app, profile, key) else { return Ok(None) };
        Ok(Some((item.id, item.add(first))))
    }

    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>> {
        Ok(self.state().config.live().find(|item| item.is(app, profile, key)).and_then(ItemRow::item))
    }

    async fn by_id(&mut self, id: ItemId) -> StorageResult<Option<Item>> {
        Ok(self.state().config.live().find(|item| item.id == id).and_then(ItemRow::item))
    }

    async fn app_of(&mut self, id: ItemId) -> StorageResult<Option<AppId>> {
        Ok(self.state().config.items.get(id).map(|item| item.app))
    }

    async fn place(&mut self, id: ItemId) -> StorageResult<Option<(String, String)>> {
        Ok(self.state().config.items.get(id).map(|item| (item.profile.clone(), item.key.clone())))
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Item>> {
        let items = self.state().config.live().filter(|item| item.app == app && item.profile == profile);
        Ok(items.filter_map(ItemRow::item).collect())
    }

    async fn profiles(&mut self, app: AppId) -> StorageResult<Vec<String>> {
        let items = self.state().config.live().filter(|item| item.app == app);
        let names: BTreeSet<_> = items.map(|item| &item.profile).collect();
        Ok(names.into_iter().cloned().collect())
    }

    async fn amend(&mut self, id: ItemId, next: &ItemVersion) -> StorageResult<bool> {
        let Some(item) = self.state_mut()?.config.current_mut(id, next.version - 1) else { return Ok(false) };
        item.add(next);
        Ok(true)
    }

    async fn renumber(&mut self, id: ItemId, version: i64, number: i64) -> StorageResult<bool> {
        let item = self.state_mut()?.config.current_mut(id, version).filter(|_| number > version);
        let Some(current) = item.and_then(|item| item.versions.back_mut()) else { return Ok(false) };
        current.version = number;
        Ok(true)
    }

    async fn approve(&mut self, id: ItemId, version: i64, approver: AccountId) -> StorageResult<bool> {
        let item = self.state_mut()?.config.current_mut(id, version);
        match item.and_then(|item| item.versions.back_mut()) {
            Some(current) if current.approver.is_none() => {
                current.approver = Some(approver);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn publish(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool> {
        let Some(item) = self.state_mut()?.config.current_mut(id, version) else { return Ok(false) };
        item.published_version = version;
        item.revision = revision;
        Ok(true)
    }

    async fn promote(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool> {
        let item = self.state_mut()?.config.items.get_mut(id);
        let Some(item) = item.filter(|item| !item.deleted && item.version(version).is_some()) else {
            return Ok(false);
        };
        item.published_version = version;
        item.revision = revision;
        Ok(true)
    }

    async fn delete(&mut self, id: ItemId, version: i64, revision: Option<i64>) -> StorageResult<bool> {
        let Some(item) = self.state_mut()?.config.current_mut(id, version) else { return Ok(false) };
        item.deleted = true;
        item.published_version = 0;
        item.revision = revision.unwrap_or(item.revision);
        Ok(true)
    }

    async fn search(&mut self, search: &ItemSearch<'_>) -> StorageResult<Vec<Item>> {
        let ItemSearch { text, apps, profile, start, before, count } = *search;
        let items = self.state().config.live().filter(|item| {
            let is_place = apps.contains(&item.app) && profile.is_none_or(|profile| item.profile == profile);
            let value = || item.versions.last().is_some_and(|last| last.content.value.contains(text));
            is_place && (start..before).contains(&item.id.0) && (item.key.contains(text) || value())
        });
        Ok(items.filter_map(ItemRow::item).take(usize::try_from(count).unwrap_or_default()).collect())
    }

    async fn last_id(&mut self) -> StorageResult<Option<ItemId>> {
        Ok(self.state().config.items.iter().map(|item| item.id).max())
    }

    async fn history(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<ItemVersion>> {
        let versions = self.state().config.versions(page).map(|version| {
            let mut version = version.clone();
            if !page.has_values {
                version.content.value.clear();
                version.content.validator.clear();
            }
            version
        });
        Ok(versions.collect())
    }

    async fn history_sizes(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<VersionSize>> {
        let sizes = self.state().config.versions(page).map(|version| {
            let Content { value, validator, description } = &version.content;
            let values = if page.has_values { value.len() + validator.len() } else { 0 };
            let bytes = i64::try_from(values + description.len()).unwrap_or(i64::MAX);
            VersionSize { version: version.version, bytes }
        });
        Ok(sizes.collect())
    }

    async fn version(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        version: i64,
    ) -> StorageResult<Option<ItemVersion>> {
        let item = self.state().config.held(app, profile, key);
        Ok(item.and_then(|item| item.version(version)).cloned())
    }

    async fn heads(&mut self, app: AppId, profile: &str, keys: &[&str]) -> StorageResult<Vec<ItemHead>> {
        let keys: HashSet<&str> = keys.iter().copied().collect();
        let items = self.state().config.items.iter();
        let wanted =
            items.filter(|item| item.app == app && item.profile == profile && keys.contains(&*item.key));
        Ok(wanted.filter_map(ItemRow::head).collect())
    }

    async fn heads_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemHead>> {
        let items: BTreeSet<ItemId> = items.iter().copied().collect();
        let held = &self.state().config.items;
        Ok(items.into_iter().filter_map(|id| held.get(id)?.head()).collect())
    }

    async fn versions(&mut self, wanted: &[VersionOf]) -> StorageResult<Vec<VersionedItem>> {
        let wanted: BTreeSet<VersionOf> = wanted.iter().copied().collect();
        let held = &self.state().config.items;
        let found = wanted.into_iter().filter_map(|VersionOf { item, version }| {
            Some(VersionedItem { item, version: held.get(item)?.version(version)?.clone() })
        });
        Ok(found.collect())
    }

    async fn insert_all(
        &mut self,
        app: AppId,
        profile: &str,
        new: &[NewItem],
    ) -> StorageResult<Option<Vec<VersionOf>>> {
        let config = &mut self.state_mut()?.config;
        // Each is looked for once, and not among all items.
        let held = config.items.iter().filter(|item| item.app == app && item.profile == profile);
        let held: HashMap<String, (ItemId, bool)> =
            held.map(|item| (item.key.clone(), (item.id, item.deleted))).collect();
        let mut made = Vec::with_capacity(new.len());
        for NewItem { key, first } in new {
            let id = match held.get(key) {
                Some((_, false)) => return Ok(None),
                Some((id, true)) => *id,
                None => config.add_row(app, profile, key),
            };
            let Some(item) = config.items.get_mut(id) else { return Ok(None) };
            item.deleted = false;
            made.push(VersionOf { item: id, version: item.add_approved(first) });
        }
        Ok(Some(made))
    }

    async fn amend_all(&mut self, next: &[VersionedItem]) -> StorageResult<bool> {
        let config = &mut self.state_mut()?.config;
        for VersionedItem { item, version } in next {
            let Some(item) = config.current_mut(*item, version.version - 1) else { return Ok(false) };
            item.add_approved(version);
        }
        Ok(true)
    }

    async fn approve_all(&mut self, versions: &[VersionOf], approver: AccountId) -> StorageResult<u64> {
        let config = &mut self.state_mut()?.config;
        let mut count = 0;
        for VersionOf { item, version } in versions {
            let item = config.items.get_mut(*item);
            let version = item.and_then(|item| item.version_mut(*version));
            if let Some(version) = version.filter(|version| version.approver.is_none()) {
                version.approver = Some(approver);
                count += 1;
            }
        }
        Ok(count)
    }

    async fn release_all(&mut self, versions: &[VersionOf], revision: i64) -> StorageResult<bool> {
        let config = &mut self.state_mut()?.config;
        for VersionOf { item, version } in versions {
            let item = config.items.get_mut(*item);
            let Some(item) = item.filter(|item| *version == 0 || item.version(*version).is_some()) else {
                return Ok(false);
            };
            item.deleted &= *version == 0;
            item.published_version = *version;
            item.revision = revision;
        }
        Ok(true)
    }

    async fn delete_all(&mut self, items: &[VersionOf], revision: Option<i64>) -> StorageResult<bool> {
        for VersionOf { item, version } in items {
            if !ItemRepository::delete(self, *item, *version, revision).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
