//! Item repository: the tables `config_item` and `config_version`.

use std::collections::HashMap;

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    AppId, Content, HistoryPage, Item, ItemHead, ItemId, ItemRepository, ItemSearch, ItemVersion, NewItem,
    VersionOf, VersionSize, VersionedItem,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use super::item_row::Inserted;
use crate::statement::{among_texts, statements, with_pairs};
use crate::transaction::Transaction;
use crate::value::{Value, ids, pairs, texts, values};

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

/// Items without contents, deleted or not; the condition, without its end, is the last part.
macro_rules! heads {
    ($where:literal) => {
        concat!(
            "SELECT id, key, config_item.version, modifier, approver, published_version, deleted \
             FROM config_item JOIN config_version current ON item_id = id AND current.version = config_item.version \
             WHERE ",
            $where
        )
    };
}

statements! {
    INSERT = "INSERT INTO config_item (app_id, profile, key, version, published_version, revision, deleted) \
         VALUES ($1, $2, $3, 1, 0, 0, FALSE) ON CONFLICT (app_id, profile, key) \
         DO UPDATE SET version = config_item.version + 1, deleted = FALSE WHERE config_item.deleted RETURNING id, version";
    INSERT_VERSION = "INSERT INTO config_version \
         (item_id, version, value, validator, description, modifier, modify_time) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND = items!("item.app_id = $1 AND item.profile = $2 AND item.key = $3");
    BY_ID = items!("item.id = $1");
    APP_OF = "SELECT app_id FROM config_item WHERE id = $1";
    PLACE = "SELECT profile, key FROM config_item WHERE id = $1";
    LIST = items!("item.app_id = $1 AND item.profile = $2 ORDER BY item.id");
    SEARCH: pair = [
        items!("item.app_id = ANY(CAST($1 AS BIGINT[])) AND ($2 IS NULL OR item.profile = $2) \
             AND item.id >= $3 AND item.id < $4 \
             AND (REPLACE(item.key, $5, '') <> item.key OR REPLACE(current.value, $5, '') <> current.value) \
             ORDER BY item.id LIMIT $6"),
        items!("item.app_id IN (SELECT value FROM json_each($1)) AND ($2 IS NULL OR item.profile = $2) \
             AND item.id >= $3 AND item.id < $4 \
             AND (REPLACE(item.key, $5, '') <> item.key OR REPLACE(current.value, $5, '') <> current.value) \
             ORDER BY item.id LIMIT $6"),
    ];
    LAST_ID = "SELECT id FROM config_item ORDER BY id DESC LIMIT 1";
    PROFILES = "SELECT DISTINCT profile FROM config_item WHERE app_id = $1 AND NOT deleted";
    AMEND =
        "UPDATE config_item SET version = version + 1 WHERE id = $1 AND version = $2 - 1 AND NOT deleted";
    RENUMBER =
        "UPDATE config_item SET version = $3 WHERE id = $1 AND version = $2 AND version < $3 AND NOT deleted";
    RENUMBER_VERSION = "UPDATE config_version SET version = $3 WHERE item_id = $1 AND version = $2";
    APPROVE = "UPDATE config_version SET approver = $3 WHERE item_id = $1 AND version = $2 \
         AND approver IS NULL AND EXISTS (SELECT 1 FROM config_item WHERE id = $1 AND version = $2 AND NOT deleted)";
    PUBLISH = "UPDATE config_item SET published_version = $2, revision = $3 \
         WHERE id = $1 AND version = $2 AND NOT deleted";
    PROMOTE = "UPDATE config_item SET published_version = $2, revision = $3 WHERE id = $1 AND NOT deleted \
         AND EXISTS (SELECT 1 FROM config_version WHERE item_id = $1 AND config_version.version = $2)";
    DELETE = "UPDATE config_item SET deleted = TRUE, published_version = 0, \
         revision = COALESCE($3, revision) WHERE id = $1 AND version = $2 AND NOT deleted";
    HISTORY = "SELECT config_version.* FROM config_version JOIN config_item ON id = item_id \
         WHERE app_id = $1 AND profile = $2 AND key = $3 AND config_version.version < $4 \
         ORDER BY config_version.version DESC LIMIT $5";
    HISTORY_WITHOUT_VALUES = "SELECT config_version.version, '' AS value, '' AS validator, description, modifier, \
         modify_time, approver FROM config_version JOIN config_item ON id = item_id \
         WHERE app_id = $1 AND profile = $2 AND key = $3 AND config_version.version < $4 \
         ORDER BY config_version.version DESC LIMIT $5";
    HISTORY_SIZES = "SELECT config_version.version, CAST(OCTET_LENGTH(description) + CASE WHEN $6 \
         THEN OCTET_LENGTH(value) + OCTET_LENGTH(validator) ELSE 0 END AS BIGINT) AS bytes \
         FROM config_version JOIN config_item ON id = item_id \
         WHERE app_id = $1 AND profile = $2 AND key = $3 AND config_version.version < $4 \
         ORDER BY config_version.version DESC LIMIT $5";
    VERSION = "SELECT config_version.* FROM config_version JOIN config_item ON id = item_id \
         WHERE app_id = $1 AND profile = $2 AND key = $3 AND config_version.version = $4";
    HEADS: pair = among_texts!(heads!("app_id = $1 AND profile = $2 AND key"), "$3", "ORDER BY id");
    HEADS_OF: pair = [
        concat!(heads!("id"), " = ANY(CAST($1 AS BIGINT[])) ORDER BY id"),
        concat!(heads!("id"), " IN (SELECT value FROM json_each($1)) ORDER BY id"),
    ];
    /// A pair that is given twice is answered once.
    VERSIONS: pair = with_pairs!(
        "SELECT config_version.* FROM (SELECT DISTINCT id, number FROM",
        ") pair JOIN config_version ON item_id = pair.id AND version = pair.number ORDER BY item_id, version"
    );
    INSERT_ALL = "INSERT INTO config_item (app_id, profile, key, version, published_version, revision, deleted)";
    INSERTED: pair = among_texts!(
        "SELECT id, key, version FROM config_item WHERE app_id = $1 AND profile = $2 AND key", "$3", ""
    );
    INSERT_VERSIONS = "INSERT INTO config_version \
         (item_id, version, value, validator, description, modifier, modify_time, approver)";
    AMEND_ALL: pair = with_pairs!(
        "UPDATE config_item SET version = pair.number FROM",
        "WHERE config_item.id = pair.id AND config_item.version = pair.number - 1 AND NOT deleted"
    );
    APPROVE_ALL: pair = with_pairs!(
        "UPDATE config_version SET approver = $2 FROM",
        "WHERE item_id = pair.id AND version = pair.number AND approver IS NULL"
    );
    RELEASE_ALL: pair = with_pairs!(
        "UPDATE config_item SET published_version = pair.number, revision = $2, \
         deleted = (config_item.deleted AND pair.number = 0) FROM",
        "WHERE config_item.id = pair.id AND (pair.number = 0 OR EXISTS (SELECT 1 FROM config_version \
         WHERE item_id = pair.id AND config_version.version = pair.number))"
    );
    DELETE_ALL: pair = with_pairs!(
        "UPDATE config_item SET deleted = TRUE, published_version = 0, revision = COALESCE($2, revision) FROM",
        "WHERE config_item.id = pair.id AND config_item.version = pair.number AND NOT deleted"
    );
}

/// A key that was deleted is created again, one that is there is left.
const INSERT_ALL_TAIL: &str = "ON CONFLICT (app_id, profile, key) \
     DO UPDATE SET version = config_item.version + 1, deleted = FALSE WHERE config_item.deleted";

/// Numbers of versions for a statement with pairs.
pub(crate) fn version_pairs(versions: &[VersionOf]) -> Value<'static> {
    pairs(versions.iter().map(|of| (of.item.0, of.version)))
}

/// Whether a statement changed as many rows as it was given.
fn is_whole(changed: u64, given: usize) -> bool {
    changed == given as u64
}

impl Transaction {
    /// Adds versions with their approvers.
    async fn insert_versions(&mut self, versions: &[(VersionOf, &ItemVersion)]) -> StorageResult<()> {
        let mut values: Vec<Value<'_>> = Vec::with_capacity(versions.len() * 8);
        for (VersionOf { item, version: number }, version) in versions {
            let ItemVersion { content: Content { value, validator, description }, .. } = version;
            values.extend([Value::from(*item), Value::from(*number)]);
            values.extend([Value::from(value), Value::from(validator), Value::from(description)]);
            values.extend([Value::from(version.modifier), Value::from(version.modify_time)]);
            values.push(Value::from(version.approver));
        }
        self.connection.execute_rows(INSERT_VERSIONS, "", 8, &values).await.map(|_| ())
    }

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
        let inserted: Option<(ItemId, i64)> =
            self.connection.optional(INSERT, values![app, profile, key]).await?;
        if let Some((id, version)) = inserted {
            self.insert_version(id, version, first).await?;
        }
        Ok(inserted)
    }

    async fn find(&mut self, app: AppId, profile: &str, key: &str) -> StorageResult<Option<Item>> {
        self.connection.optional(FIND, values![app, profile, key]).await
    }

    async fn by_id(&mut self, id: ItemId) -> StorageResult<Option<Item>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn app_of(&mut self, id: ItemId) -> StorageResult<Option<AppId>> {
        self.connection.optional(APP_OF, values![id]).await
    }

    async fn place(&mut self, id: ItemId) -> StorageResult<Option<(String, String)>> {
        self.connection.optional(PLACE, values![id]).await
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Item>> {
        self.connection.all(LIST, values![app, profile]).await
    }

    async fn profiles(&mut self, app: AppId) -> StorageResult<Vec<String>> {
        let mut profiles: Vec<String> = self.connection.all(PROFILES, values![app]).await?;
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

    async fn renumber(&mut self, id: ItemId, version: i64, number: i64) -> StorageResult<bool> {
        let values = values![id, version, number];
        let is_renumbered = self.connection.execute(RENUMBER, values).await? > 0;
        if is_renumbered {
            self.connection.execute(RENUMBER_VERSION, values).await?;
        }
        Ok(is_renumbered)
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

    async fn search(&mut self, search: &ItemSearch<'_>) -> StorageResult<Vec<Item>> {
        let ItemSearch { text, apps, profile, start, before, count } = *search;
        self.connection.all(SEARCH, values![ids(apps), profile, start, before, text, count]).await
    }

    async fn last_id(&mut self) -> StorageResult<Option<ItemId>> {
        self.connection.optional(LAST_ID, values![]).await
    }

    async fn history(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<ItemVersion>> {
        let HistoryPage { app, profile, key, before, count, has_values } = *page;
        let statement = if has_values { HISTORY } else { HISTORY_WITHOUT_VALUES };
        self.connection.all(statement, values![app, profile, key, before, count]).await
    }

    async fn history_sizes(&mut self, page: &HistoryPage<'_>) -> StorageResult<Vec<VersionSize>> {
        let HistoryPage { app, profile, key, before, count, has_values } = *page;
        self.connection.all(HISTORY_SIZES, values![app, profile, key, before, count, has_values]).await
    }

    async fn version(
        &mut self,
        app: AppId,
        profile: &str,
        key: &str,
        version: i64,
    ) -> StorageResult<Option<ItemVersion>> {
        self.connection.optional(VERSION, values![app, profile, key, version]).await
    }

    async fn heads(&mut self, app: AppId, profile: &str, keys: &[&str]) -> StorageResult<Vec<ItemHead>> {
        self.connection.all(HEADS, values![app, profile, texts(keys)]).await
    }

    async fn heads_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemHead>> {
        self.connection.all(HEADS_OF, values![ids(items)]).await
    }

    async fn versions(&mut self, wanted: &[VersionOf]) -> StorageResult<Vec<VersionedItem>> {
        self.connection.all(VERSIONS, values![version_pairs(wanted)]).await
    }

    async fn insert_all(
        &mut self,
        app: AppId,
        profile: &str,
        new: &[NewItem],
    ) -> StorageResult<Option<Vec<VersionOf>>> {
        let mut values: Vec<Value<'_>> = Vec::with_capacity(new.len() * 7);
        for NewItem { key, .. } in new {
            values.extend([Value::from(app), Value::from(profile), Value::from(key)]);
            values.extend([Value::from(1), Value::from(0), Value::from(0), Value::from(false)]);
        }
        if !is_whole(self.connection.execute_rows(INSERT_ALL, INSERT_ALL_TAIL, 7, &values).await?, new.len())
        {
            return Ok(None);
        }
        let keys: Vec<&str> = new.iter().map(|new| &*new.key).collect();
        // Their newest versions are only being made.
        let numbers: Vec<Inserted> =
            self.connection.all(INSERTED, values![app, profile, texts(&keys)]).await?;
        let numbers: HashMap<String, VersionOf> =
            numbers.into_iter().map(|of| (of.key, of.version)).collect();
        let made: Option<Vec<VersionOf>> = keys.iter().map(|key| numbers.get(*key).copied()).collect();
        let made = made.ok_or(StorageError::Corrupt { what: "key" })?;
        let versions = made.iter().copied().zip(new.iter().map(|new| &new.first));
        let versions: Vec<(VersionOf, &ItemVersion)> = versions.collect();
        self.insert_versions(&versions).await?;
        Ok(Some(made))
    }

    async fn amend_all(&mut self, next: &[VersionedItem]) -> StorageResult<bool> {
        let number = |of: &VersionedItem| VersionOf { item: of.item, version: of.version.version };
        let numbers: Vec<VersionOf> = next.iter().map(number).collect();
        if !is_whole(self.connection.execute(AMEND_ALL, values![version_pairs(&numbers)]).await?, next.len())
        {
            return Ok(false);
        }
        let versions = numbers.into_iter().zip(next.iter().map(|of| &of.version));
        let versions: Vec<(VersionOf, &ItemVersion)> = versions.collect();
        self.insert_versions(&versions).await?;
        Ok(true)
    }

    async fn approve_all(&mut self, versions: &[VersionOf], approver: AccountId) -> StorageResult<u64> {
        self.connection.execute(APPROVE_ALL, values![version_pairs(versions), approver]).await
    }

    async fn release_all(&mut self, versions: &[VersionOf], revision: i64) -> StorageResult<bool> {
        let changed =
            self.connection.execute(RELEASE_ALL, values![version_pairs(versions), revision]).await?;
        Ok(is_whole(changed, versions.len()))
    }

    async fn delete_all(&mut self, items: &[VersionOf], revision: Option<i64>) -> StorageResult<bool> {
        let changed = self.connection.execute(DELETE_ALL, values![version_pairs(items), revision]).await?;
        Ok(is_whole(changed, items.len()))
    }
}
