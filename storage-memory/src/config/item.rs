//! Configuration items and their versions.

use std::collections::BTreeSet;

use async_trait::async_trait;
use imbl::Vector;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, Item, ItemId, ItemRepository, ItemVersion};
use pilothouse_core::ports::StorageResult;

use super::ConfigState;
use crate::storage::Transaction;

/// An item, deleted or not.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: ItemId,
    pub(super) app: AppId,
    pub(super) profile: String,
    pub(super) key: String,
    /// All of them, from 1 on without gaps: the last is the current one.
    versions: Vector<ItemVersion>,
    published_version: i64,
    revision: i64,
    deleted: bool,
}

impl Held {
    fn is(&self, app: AppId, profile: &str, key: &str) -> bool {
        self.app == app && self.profile == profile && self.key == key
    }

    fn add(&mut self, version: &ItemVersion) -> i64 {
        let number = self.last() + 1;
        self.versions.push_back(ItemVersion { version: number, approver: None, ..version.clone() });
        number
    }

    fn last(&self) -> i64 {
        self.versions.last().map_or(0, |version| version.version)
    }

    pub(super) fn version(&self, number: i64) -> Option<&ItemVersion> {
        self.versions.get(usize::try_from(number).ok()?.checked_sub(1)?)
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
    fn live(&self) -> impl Iterator<Item = &Held> {
        self.items.iter().filter(|item| !item.deleted)
    }

    /// An item, deleted or not.
    fn held(&self, app: AppId, profile: &str, key: &str) -> Option<&Held> {
        self.items.iter().find(|item| item.is(app, profile, key))
    }

    /// That item, where `version` is its current one and it is not deleted.
    fn current_mut(&mut self, id: ItemId, version: i64) -> Option<&mut Held> {
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
        let id = match config.held(app, profile, key) {
            Some(item) if !item.deleted => return Ok(None),
            Some(item) => item.id,
            None => config.items.insert(|id| Held {
                id,
                app,
                profile: profile.to_owned(),
                key: key.to_owned(),
                versions: Vector::new(),
                published_version: 0,
                revision: 0,
                deleted: false,
            }),
        };
        Ok(config.items.get_mut(id).map(|item| {
            item.deleted = false;
            (id, item.add(first))
        }))
    }

    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>> {
        Ok(self.state().config.live().find(|item| item.is(app, profile, key)).and_then(Held::item))
    }

    async fn by_id(&mut self, id: ItemId) -> StorageResult<Option<Item>> {
        Ok(self.state().config.live().find(|item| item.id == id).and_then(Held::item))
    }

    async fn app_of(&mut self, id: ItemId) -> StorageResult<Option<AppId>> {
        Ok(self.state().config.items.get(id).map(|item| item.app))
    }

    async fn place(&mut self, id: ItemId) -> StorageResult<Option<(String, String)>> {
        Ok(self.state().config.items.get(id).map(|item| (item.profile.clone(), item.key.clone())))
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Item>> {
        let items = self.state().config.live().filter(|item| item.app == app && item.profile == profile);
        Ok(items.filter_map(Held::item).collect())
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

    async fn history(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Vec<ItemVersion>> {
        let item = self.state().config.held(app, profile, key);
        Ok(item.into_iter().flat_map(|item| item.versions.iter().rev()).cloned().collect())
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
}
