//! Configuration items: one per app, profile and key, with every version it ever had.

use std::fmt::{self, Display};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::app::{check_identifier, lock_app, open_app};
use super::{App, AppId, Permission, ReleaseState};
use crate::account::{AccountId, Caller, Entry, digest};
use crate::ports::{Repositories, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

/// The id of an item. A key that is deleted and created again keeps it.
pub type ItemId = i64;

/// What identifies an item on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemName {
    /// The app.
    pub app: String,
    /// The profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
    pub profile: String,
    /// The key: 1 to 256 bytes.
    pub key: String,
}

impl ItemName {
    pub(super) fn check(&self) -> Result<()> {
        check_identifier("profile", &self.profile)?;
        check_text("key", &self.key, 1, 256, false)
    }
}

impl Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.app, self.profile, self.key)
    }
}

/// What a version says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The value: at most 1 MiB; may hold TAB, CR and LF.
    pub value: String,
    /// What checks values: at most 65,536 bytes. `json`, `yaml`, `toml`, `int`, `url`, `regex:…` and `jsonschema:…` are
    /// enforced; any other text is a script for front ends.
    pub validator: String,
    /// What was changed: at most 4096 bytes; may hold TAB, CR and LF.
    pub description: String,
}

impl Content {
    pub(super) fn check(&self) -> Result<()> {
        check_text("value", &self.value, 0, 1 << 20, true)?;
        check_text("validator", &self.validator, 0, 1 << 16, false)?;
        check_text("description", &self.description, 0, 4096, true)
    }
}

/// One version of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemVersion {
    /// Its number: 1 for the first.
    pub version: i64,
    /// What it says.
    pub content: Content,
    /// Who made it.
    pub modifier: AccountId,
    /// When it was made.
    pub modify_time: DateTime<Utc>,
    /// Who approved it; `None` as long as nobody did.
    pub approver: Option<AccountId>,
}

impl ItemVersion {
    pub(super) fn digest(&self) -> String {
        let Content { value, validator, description } = &self.content;
        digest(&[&self.version.to_string(), value, validator, description])
    }
}

/// An item as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// Its app.
    pub app: AppId,
    /// Its profile.
    pub profile: String,
    /// Its key.
    pub key: String,
    /// Its current version.
    pub current: ItemVersion,
    /// The version of the last full release since the key was created; 0 before one.
    pub published_version: i64,
    /// The value of that version; empty before one.
    pub published_value: String,
}

impl Item {
    /// Refuses a version the caller saw that is no longer the current one.
    pub(super) fn check_seen(&self, version: Option<i64>) -> Result<()> {
        let current = self.current.version;
        match version {
            Some(version) if version != current => {
                Err(Error::conflict(format!("version {version} is not the current one, which is {current}")))
            }
            _ => Ok(()),
        }
    }
}

/// Items in a store. A deleted item stays as a number to go on from, with its versions; only [`Self::insert`],
/// [`Self::history`], [`Self::version`], [`Self::app_of`] and [`Self::place`] see it.
#[async_trait]
pub trait ItemRepository: Send {
    /// Adds an item with its first version, whose number is ignored: it is 1, or follows the last one where the key was
    /// deleted. Answers id and version; `None` when there is such an item.
    async fn insert(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        first: &ItemVersion,
    ) -> StorageResult<Option<(ItemId, i64)>>;
    /// By app, profile and key.
    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>>;
    /// By id.
    async fn by_id(&mut self, id: ItemId) -> StorageResult<Option<Item>>;
    /// The app of an item, also of a deleted one.
    async fn app_of(&mut self, id: ItemId) -> StorageResult<Option<AppId>>;
    /// The profile and key of an item, also of a deleted one.
    async fn place(&mut self, id: ItemId) -> StorageResult<Option<(String, String)>>;
    /// The items of a profile, by id.
    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Item>>;
    /// The profiles that have items, by name.
    async fn profiles(&mut self, app: AppId) -> StorageResult<Vec<String>>;
    /// Adds `next` as the current version if it follows the stored one.
    async fn amend(&mut self, id: ItemId, next: &ItemVersion) -> StorageResult<bool>;
    /// Approves `version` if it is the stored one and nobody has approved it.
    async fn approve(&mut self, id: ItemId, version: i64, approver: AccountId) -> StorageResult<bool>;
    /// Publishes `version`, at that revision of its app, if it is the stored one.
    async fn publish(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool>;
    /// Makes `version`, which may be an old one, the published one at that revision of its app.
    async fn promote(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool>;
    /// Deletes the item if `version` is the stored one. `revision` is the app's that unpublishes it; `None` where
    /// nothing of it is published.
    async fn delete(&mut self, id: ItemId, version: i64, revision: Option<i64>) -> StorageResult<bool>;
    /// Every version, newest first, also of a deleted item; empty where there never was one.
    async fn history(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Vec<ItemVersion>>;
    /// One version, also of a deleted item.
    async fn version(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        version: i64,
    ) -> StorageResult<Option<ItemVersion>>;
}

/// The use cases of items.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a>(pub(crate) &'a Pilothouse);

impl Items<'_> {
    /// One item; needs permission 1.
    pub async fn find(&self, caller: &Caller, name: &ItemName) -> Result<Item> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, &name.app, Permission::Develop).await?;
        find(&mut *snapshot, &app, name).await
    }

    /// The items of a profile, by id; needs permission 1.
    pub async fn list(&self, caller: &Caller, app: &str, profile: &str) -> Result<Vec<Item>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, app, Permission::Develop).await?;
        check_identifier("profile", profile)?;
        Ok(snapshot.items().list(app.id, profile).await?)
    }

    /// The profiles of an app that have items, by name; needs permission 1.
    pub async fn profiles(&self, caller: &Caller, app: &str) -> Result<Vec<String>> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, app, Permission::Develop).await?;
        Ok(snapshot.items().profiles(app.id).await?)
    }

    /// Creates an item; needs permission 1. Its version is 1, or follows the last one where the key was deleted.
    pub async fn create(&self, caller: &Caller, name: &ItemName, content: Content) -> Result<ItemId> {
        let content = content.checked().await;
        let mut work = self.0.storage().begin().await?;
        let app = lock_app(self.0, &mut *work, caller, &name.app, Permission::Develop).await?;
        name.check()?;
        let mut first = self.version_by(caller, 1, content?);
        let inserted = work.items().insert(app.id, &name.profile, &name.key, &first).await?;
        let (id, version) = inserted.ok_or_else(|| Error::exists("a config with this key"))?;
        first.version = version;
        let entry = Entry::new("config.create", name.to_string()).new_digest(first.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Makes a new version, which nobody has approved; needs permission 1. An update that changes neither value nor
    /// validator nor description makes none and leaves the approval. `seen` is the version the caller saw.
    pub async fn update(
        &self,
        caller: &Caller,
        name: &ItemName,
        content: Content,
        seen: Option<i64>,
    ) -> Result<()> {
        let content = content.checked().await;
        let mut work = self.0.storage().begin().await?;
        let item = self.lock(&mut *work, caller, name, Permission::Develop).await?;
        let content = content?;
        item.check_seen(seen)?;
        self.amend(&mut *work, caller, "config.update", name, &item, content).await?;
        Ok(work.commit().await?)
    }

    /// Makes a new version with what an old one says; needs permission 1. It is approved and published like any other.
    /// Where it changes nothing there is no new version, as with an update.
    pub async fn roll_back(&self, caller: &Caller, name: &ItemName, version: i64) -> Result<()> {
        let (app, content) = self.old(caller, name, version).await?;
        // What was stored may be older than the validators.
        let content = content.checked().await?;
        let mut work = self.0.storage().begin().await?;
        let item = self.lock(&mut *work, caller, name, Permission::Develop).await?;
        if item.app != app {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        self.amend(&mut *work, caller, "config.rollback", name, &item, content).await?;
        Ok(work.commit().await?)
    }

    /// What an old version of an item says, and whose it is.
    async fn old(&self, caller: &Caller, name: &ItemName, version: i64) -> Result<(AppId, Content)> {
        let mut snapshot = self.0.storage().read().await?;
        let app = open_app(self.0, &mut *snapshot, caller, &name.app, Permission::Develop).await?;
        find(&mut *snapshot, &app, name).await?;
        let old = snapshot.items().version(app.id, &name.profile, &name.key, version).await?;
        let old = old.ok_or_else(|| Error::not_found(format!("version {version}")))?;
        Ok((app.id, old.content))
    }

    /// Approves the current version; needs permission 9, and in a profile under four-eyes another account than its
    /// modifier's. What is approved already stays so, by its first approver. `seen` is the version the caller saw.
    pub async fn approve(&self, caller: &Caller, name: &ItemName, seen: Option<i64>) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let item = self.lock(&mut *work, caller, name, Permission::Manage).await?;
        let four_eyes = self.0.settings().four_eyes_profiles.contains(&name.profile);
        if four_eyes && item.current.modifier == caller.id {
            return Err(self.0.refuse(caller, "to approve its own change in a profile under four-eyes"));
        }
        item.check_seen(seen)?;
        if work.items().approve(item.id, item.current.version, caller.id).await? {
            let digest = item.current.digest();
            let entry = Entry::new("config.approve", name.to_string()).old(digest.clone()).new_digest(digest);
            self.0.audit(&mut *work, caller, entry).await?;
        }
        Ok(work.commit().await?)
    }

    /// Deletes an item, and with it what is published of it, of which its nodes are told; needs permission 1, or 9 once
    /// a version of it was published since the key was last created. `seen` is the version the caller saw.
    pub async fn delete(&self, caller: &Caller, name: &ItemName, seen: Option<i64>) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let item = self.lock(&mut *work, caller, name, Permission::Develop).await?;
        let published = item.published_version > 0 || !work.releases().active(item.id).await?.is_empty();
        if published {
            super::app::require(self.0, &mut *work, caller, Some(item.app), Permission::Manage).await?;
        }
        item.check_seen(seen)?;
        let entry = Entry::new("config.delete", name.to_string()).old(item.current.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        let revision = if published { work.apps().raise_revision(item.app).await? } else { None };
        if let Some(revision) = revision {
            work.releases().end(item.id, None, ReleaseState::Superseded, revision).await?;
        }
        if !work.items().delete(item.id, item.current.version, revision).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        work.commit().await?;
        if published {
            self.0.changed(item.app).await;
        }
        Ok(())
    }

    /// The item of that name, in a transaction that holds its app's lock.
    async fn lock(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        name: &ItemName,
        needed: Permission,
    ) -> Result<Item> {
        let app = lock_app(self.0, work, caller, &name.app, needed).await?;
        find(work, &app, name).await
    }

    /// Makes `content` the next version of `item`, unless it is what the current one says.
    async fn amend(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        action: &'static str,
        name: &ItemName,
        item: &Item,
        content: Content,
    ) -> Result<()> {
        if content == item.current.content {
            return Ok(());
        }
        let next = self.version_by(caller, item.current.version + 1, content);
        if !work.items().amend(item.id, &next).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let entry = Entry::new(action, name.to_string()).old(item.current.digest()).new_digest(next.digest());
        self.0.audit(work, caller, entry).await
    }

    fn version_by(self, caller: &Caller, version: i64, content: Content) -> ItemVersion {
        let modify_time = self.0.clock().now();
        ItemVersion { version, content, modifier: caller.id, modify_time, approver: None }
    }
}

async fn find(repositories: &mut dyn Repositories, app: &App, name: &ItemName) -> Result<Item> {
    name.check()?;
    let found = repositories.items().find(app.id, &name.profile, &name.key).await?;
    found.ok_or_else(|| Error::not_found("the config"))
}
