//! Configuration items: one per app, profile and key, with every version it ever had.

use std::fmt::{self, Display};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::history::{HistoryPage, VersionSize};
use super::search::ItemSearch;
use crate::account::{AccountId, digest};
use crate::config::identifier::{AppId, ItemId, check_identifier};
use crate::ports::StorageResult;
use crate::text::check_visible;
use crate::{Error, Result, check_text};

/// Name of an item on the wire: app, profile and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemName {
    /// Name of the app.
    pub app: String,
    /// The profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
    pub profile: String,
    /// The key: 1 to 256 bytes.
    pub key: String,
}

impl ItemName {
    pub(crate) fn check(&self) -> Result<()> {
        check_identifier("profile", &self.profile)?;
        check_text("key", &self.key, 1, 256, false)
    }

    /// Refuses a key that could pass for another, too. Keys from before that was asked keep their names.
    pub(super) fn check_new(&self) -> Result<()> {
        self.check()?;
        check_visible("key", &self.key)
    }
}

impl Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.app, self.profile, self.key)
    }
}

/// Content of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The value: at most 1 MiB; may hold TAB, CR and LF.
    pub value: String,
    /// Validator of the value: at most 65,536 bytes; may hold TAB, CR and LF. `json`, `yaml`, `toml`, `int`, `url`, `regex:…` and `jsonschema:…` are
    /// enforced; any other text is a script for front ends.
    pub validator: String,
    /// Description of the change: at most 4096 bytes; may hold TAB, CR and LF.
    pub description: String,
}

impl Content {
    pub(crate) fn check(&self) -> Result<()> {
        check_text("value", &self.value, 0, 1 << 20, true)?;
        check_text("validator", &self.validator, 0, 1 << 16, true)?;
        check_text("description", &self.description, 0, 4096, true)
    }
}

/// A change of an item's content: what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentChange {
    /// Id of the item, where the caller sends it back.
    pub id: Option<ItemId>,
    /// New value, within the limits of a content's.
    pub value: Option<String>,
    /// New validator, within the limits of a content's.
    pub validator: Option<String>,
    /// New description, within the limits of a content's.
    pub description: Option<String>,
}

impl From<Content> for ContentChange {
    fn from(Content { value, validator, description }: Content) -> Self {
        Self { id: None, value: Some(value), validator: Some(validator), description: Some(description) }
    }
}

impl ContentChange {
    pub(super) fn of(self, old: Content) -> Content {
        Content {
            value: self.value.unwrap_or(old.value),
            validator: self.validator.unwrap_or(old.validator),
            description: self.description.unwrap_or(old.description),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.value.is_some() && self.validator.is_some() && self.description.is_some()
    }
}

/// One version of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemVersion {
    /// Number: 1 for the first.
    pub version: i64,
    /// Value, validator and description.
    pub content: Content,
    /// Account that made the version.
    pub modifier: AccountId,
    /// Time the version was made.
    pub modify_time: DateTime<Utc>,
    /// Account that approved it; `None` as long as nobody did.
    pub approver: Option<AccountId>,
}

impl ItemVersion {
    pub(crate) fn digest(&self) -> String {
        let Content { value, validator, description } = &self.content;
        digest(&[&self.version.to_string(), value, validator, description])
    }
}

/// An item as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Unique and never given again.
    pub id: ItemId,
    /// App that the item belongs to.
    pub app: AppId,
    /// Profile: 1 to 64 of `[A-Za-z0-9._-]`.
    pub profile: String,
    /// Key: 1 to 256 bytes.
    pub key: String,
    /// Newest version, published or not.
    pub current: ItemVersion,
    /// The version of the last full release since the key was created; 0 before one.
    pub published_version: i64,
    /// The value of that version; empty before one.
    pub published_value: String,
}

impl Item {
    /// Refuses a version the caller saw that is no longer the current one.
    pub(in crate::config) fn check_seen(&self, version: Option<i64>) -> Result<()> {
        let current = self.current.version;
        match version {
            Some(version) if version != current => {
                Err(Error::conflict(format!("version {version} is not the current one, which is {current}")))
            }
            _ => Ok(()),
        }
    }
}

/// Names one version of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionOf {
    /// Item that has the version.
    pub item: ItemId,
    /// Number of the version, from 1.
    pub version: i64,
}

/// An item without its contents, deleted or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemHead {
    /// Id of the item.
    pub item: ItemId,
    /// Key of the item.
    pub key: String,
    /// Number of the newest version.
    pub version: i64,
    /// Account that made the newest version.
    pub modifier: AccountId,
    /// Account that approved the newest version; `None` as long as nobody did.
    pub approver: Option<AccountId>,
    /// The version of the last full release since the key was created; 0 before one.
    pub published_version: i64,
    /// Whether the key is deleted.
    pub is_deleted: bool,
}

impl ItemHead {
    /// The newest version.
    pub(in crate::config) fn newest(&self) -> VersionOf {
        VersionOf { item: self.item, version: self.version }
    }
}

/// A version of an item by the item's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedItem {
    /// Item that has the version.
    pub item: ItemId,
    /// The version with its content.
    pub version: ItemVersion,
}

/// A key to be created with its first version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Key of the item.
    pub key: String,
    /// First version, whose number is ignored.
    pub first: ItemVersion,
}

/// Items in a store. A deleted item stays as a number to go on from, with its versions; only [`Self::insert`],
/// [`Self::insert_all`], [`Self::history`], [`Self::version`], [`Self::versions`], [`Self::heads`], [`Self::heads_of`],
/// [`Self::app_of`] and [`Self::place`] see it.
///
/// A method for many items does all or nothing: where it could not do one, the transaction must not be committed.
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
    /// Finds an item by app, profile and key.
    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>>;
    /// Finds an item by id.
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
    /// Gives `version` the greater number `number`, with which the versions go on, if it is the stored one. For what is
    /// imported, with the numbers it had; nothing may point to the version yet.
    async fn renumber(&mut self, id: ItemId, version: i64, number: i64) -> StorageResult<bool>;
    /// Approves `version` if it is the stored one and nobody has approved it.
    async fn approve(&mut self, id: ItemId, version: i64, approver: AccountId) -> StorageResult<bool>;
    /// Publishes `version`, at that revision of its app, if it is the stored one.
    async fn publish(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool>;
    /// Makes `version`, which may be an old one, the published one at that revision of its app.
    async fn promote(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool>;
    /// Deletes the item if `version` is the stored one. `revision` is the app's that unpublishes it; `None` where
    /// nothing of it is published.
    async fn delete(&mut self, id: ItemId, version: i64, revision: Option<i64>) -> StorageResult<bool>;
    /// The first items by id among those that a search looks for.
    async fn search(&mut self, search: &ItemSearch<'_>) -> StorageResult<Vec<Item>>;
    /// The greatest id of an item, deleted or not; `None` where there never was one.
    async fn last_id(&mut self) -> StorageResult<Option<ItemId>>;
    /// A page of versions, newest first, also of a deleted item; empty where there never was one.
    async fn history(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<ItemVersion>>;
    /// Sizes of the versions of such a page, with their values or not.
    async fn history_sizes(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<VersionSize>>;
    /// One version, also of a deleted item.
    async fn version(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        version: i64,
    ) -> StorageResult<Option<ItemVersion>>;
    /// The items of some keys of a profile, also deleted ones, by id.
    async fn heads(&mut self, app: AppId, profile: &str, keys: &[&str]) -> StorageResult<Vec<ItemHead>>;
    /// Items by id, also deleted ones, in that order.
    async fn heads_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemHead>>;
    /// Some versions, each once, by item and number; those that do not exist are left out.
    async fn versions(&mut self, wanted: &[VersionOf]) -> StorageResult<Vec<VersionedItem>>;
    /// Adds items as [`Self::insert`] does, with the approver of each first version: id and version of each, in their
    /// order. `None` where one of them was there. No key is given twice.
    async fn insert_all(
        &mut self,
        app: AppId,
        profile: &str,
        new: &[NewItem],
    ) -> StorageResult<Option<Vec<VersionOf>>>;
    /// Adds versions as [`Self::amend`] does, each with its approver; whether all followed the stored ones. No item is
    /// given twice.
    async fn amend_all(&mut self, next: &[VersionedItem]) -> StorageResult<bool>;
    /// Approves the versions that nobody has approved, whichever the newest is; how many there were.
    async fn approve_all(&mut self, versions: &[VersionOf], approver: AccountId) -> StorageResult<u64>;
    /// Makes each version the published one of its item at that revision of its app, or none for the number 0; a deleted
    /// item is there again where it gets a version. Whether all the versions exist.
    async fn release_all(&mut self, versions: &[VersionOf], revision: i64) -> StorageResult<bool>;
    /// Deletes items as [`Self::delete`] does, each at its version; whether all were there.
    async fn delete_all(&mut self, items: &[VersionOf], revision: Option<i64>) -> StorageResult<bool>;
}
