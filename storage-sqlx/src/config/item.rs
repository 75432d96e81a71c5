//! Configuration items and their versions.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, Content, Item, ItemId, ItemRepository, ItemVersion};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{time, values};

/// The items that are not deleted, with their current and their published version.
macro_rules! items {
    ($where:literal) => {
        concat!(
            "SELECT item.id, item.app_id, item.profile, item.key, item.published_version, \
             current.*, published.value AS published_value FROM config_item item \
             JOIN config_version current ON current.item_id = item.id AND current.version = item.version \
             LEFT JOIN config_version published \
             ON published.item_id = item.id AND published.version = item.published_version \
             WHERE NOT item.deleted AND ",
            $where
        )
    };
}

const INSERT: &str = "INSERT INTO config_item (app_id, profile, key, version, published_version, revision, deleted) \
     VALUES ($1, $2, $3, 1, 0, 0, FALSE) ON CONFLICT (app_id, profile, key) \
     DO UPDATE SET version = config_item.version + 1, deleted = FALSE WHERE config_item.deleted RETURNING id, version";
const INSERT_VERSION: &str = "INSERT INTO config_version \
     (item_id, version, value, validator, description, modifier, modify_time) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = items!("item.app_id = $1 AND item.profile = $2 AND item.key = $3");
const BY_ID: &str = items!("item.id = $1");
const APP_OF: &str = "SELECT app_id FROM config_item WHERE id = $1";
const PLACE: &str = "SELECT profile, key FROM config_item WHERE id = $1";
const LIST: &str = items!("item.app_id = $1 AND item.profile = $2 ORDER BY item.id");
const PROFILES: &str = "SELECT DISTINCT profile FROM config_item WHERE app_id = $1 AND NOT deleted";
const AMEND: &str =
    "UPDATE config_item SET version = version + 1 WHERE id = $1 AND version = $2 - 1 AND NOT deleted";
const APPROVE: &str = "UPDATE config_version SET approver = $3 WHERE item_id = $1 AND version = $2 \
     AND approver IS NULL AND EXISTS (SELECT 1 FROM config_item WHERE id = $1 AND version = $2 AND NOT deleted)";
const PUBLISH: &str = "UPDATE config_item SET published_version = $2, revision = $3 \
     WHERE id = $1 AND version = $2 AND NOT deleted";
const PROMOTE: &str = "UPDATE config_item SET published_version = $2, revision = $3 WHERE id = $1 AND NOT deleted \
     AND EXISTS (SELECT 1 FROM config_version WHERE item_id = $1 AND config_version.version = $2)";
const DELETE: &str = "UPDATE config_item SET deleted = TRUE, published_version = 0, \
     revision = COALESCE($3, revision) WHERE id = $1 AND version = $2 AND NOT deleted";
const HISTORY: &str = "SELECT config_version.* FROM config_version JOIN config_item ON id = item_id \
     WHERE app_id = $1 AND profile = $2 AND key = $3 ORDER BY config_version.version DESC";
const VERSION: &str = "SELECT config_version.* FROM config_version JOIN config_item ON id = item_id \
     WHERE app_id = $1 AND profile = $2 AND key = $3 AND config_version.version = $4";

#[derive(FromRow)]
struct VersionRow {
    version: i64,
    value: String,
    validator: String,
    description: String,
    modifier: i64,
    modify_time: i64,
    approver: Option<i64>,
}

#[derive(FromRow)]
struct ItemRow {
    id: i64,
    app_id: i64,
    profile: String,
    key: String,
    published_version: i64,
    published_value: Option<String>,
    #[sqlx(flatten)]
    current: VersionRow,
}

impl TryFrom<VersionRow> for ItemVersion {
    type Error = StorageError;

    fn try_from(row: VersionRow) -> StorageResult<Self> {
        let VersionRow { version, value, validator, description, modifier, modify_time, approver } = row;
        let content = Content { value, validator, description };
        Ok(Self { version, content, modifier, modify_time: time(modify_time)?, approver })
    }
}

impl TryFrom<ItemRow> for Item {
    type Error = StorageError;

    fn try_from(row: ItemRow) -> StorageResult<Self> {
        let ItemRow { id, app_id: app, profile, key, published_version, published_value, current } = row;
        let (current, published_value) = (current.try_into()?, published_value.unwrap_or_default());
        Ok(Self { id, app, profile, key, current, published_version, published_value })
    }
}

impl Transaction {
    async fn insert_version(
        &mut self,
        item: ItemId,
        number: i64,
        version: &ItemVersion,
    ) -> StorageResult<()> {
        let ItemVersion { content: Content { value, validator, description }, .. } = version;
        let values =
            values![item, number, value, validator, description, version.modifier, version.modify_time];
        self.connection.execute(INSERT_VERSION, values).await.map(|_| ())
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
        let inserted: Option<(i64, i64)> =
            self.connection.optional(INSERT, values![app, profile, key]).await?;
        if let Some((id, version)) = inserted {
            self.insert_version(id, version, first).await?;
        }
        Ok(inserted)
    }

    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>> {
        let found = self.connection.optional::<ItemRow>(FIND, values![app, profile, key]).await?;
        found.map(Item::try_from).transpose()
    }

    async fn by_id(&mut self, id: ItemId) -> StorageResult<Option<Item>> {
        self.connection.optional::<ItemRow>(BY_ID, values![id]).await?.map(Item::try_from).transpose()
    }

    async fn app_of(&mut self, id: ItemId) -> StorageResult<Option<AppId>> {
        let found: Option<(i64,)> = self.connection.optional(APP_OF, values![id]).await?;
        Ok(found.map(|(app,)| app))
    }

    async fn place(&mut self, id: ItemId) -> StorageResult<Option<(String, String)>> {
        self.connection.optional(PLACE, values![id]).await
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Item>> {
        let rows = self.connection.all::<ItemRow>(LIST, values![app, profile]).await?;
        rows.into_iter().map(Item::try_from).collect()
    }

    async fn profiles(&mut self, app: AppId) -> StorageResult<Vec<String>> {
        let rows: Vec<(String,)> = self.connection.all(PROFILES, values![app]).await?;
        let mut profiles: Vec<String> = rows.into_iter().map(|(profile,)| profile).collect();
        // Not ORDER BY: the order would be that of the database's locale.
        profiles.sort();
        Ok(profiles)
    }

    async fn amend(&mut self, id: ItemId, next: &ItemVersion) -> StorageResult<bool> {
        let amended = self.connection.execute(AMEND, values![id, next.version]).await? > 0;
        if amended {
            self.insert_version(id, next.version, next).await?;
        }
        Ok(amended)
    }

    async fn approve(&mut self, id: ItemId, version: i64, approver: AccountId) -> StorageResult<bool> {
        Ok(self.connection.execute(APPROVE, values![id, version, approver]).await? > 0)
    }

    async fn publish(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool> {
        Ok(self.connection.execute(PUBLISH, values![id, version, revision]).await? > 0)
    }

    async fn promote(&mut self, id: ItemId, version: i64, revision: i64) -> StorageResult<bool> {
        Ok(self.connection.execute(PROMOTE, values![id, version, revision]).await? > 0)
    }

    async fn delete(&mut self, id: ItemId, version: i64, revision: Option<i64>) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id, version, revision]).await? > 0)
    }

    async fn history(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Vec<ItemVersion>> {
        let rows = self.connection.all::<VersionRow>(HISTORY, values![app, profile, key]).await?;
        rows.into_iter().map(ItemVersion::try_from).collect()
    }

    async fn version(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        version: i64,
    ) -> StorageResult<Option<ItemVersion>> {
        let values = values![app, profile, key, version];
        let found = self.connection.optional::<VersionRow>(VERSION, values).await?;
        found.map(ItemVersion::try_from).transpose()
    }
}
