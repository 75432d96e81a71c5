//! Release repository: the table `config_release`.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::config::{
    AppId, Deliverable, ItemId, Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

/// Releases as they are delivered. The value is NULL for those that have ended: no delta needs it.
macro_rules! deliverables {
    () => {
        "SELECT config_release.*, key, value FROM config_release \
         JOIN config_item ON config_item.id = config_release.item_id \
         LEFT JOIN config_version ON config_version.item_id = config_release.item_id \
         AND config_version.version = config_release.version AND config_release.end_revision IS NULL "
    };
}

statements! {
    /// The app and the profile are those of the item.
    INSERT = "INSERT INTO config_release \
         (item_id, version, kind, state, publisher, publish_time, revision, end_revision, nodes, origin, \
         set_id, title, change_set_id, app_id, profile) \
         SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, app_id, profile \
         FROM config_item WHERE id = $1 RETURNING id";
    INSERT_PARTS = "WITH part (item_id, version, kind, state, publisher, publish_time, revision, end_revision, nodes, \
         origin, set_id, title, change_set_id, place) AS (";
    BY_ID = "SELECT * FROM config_release WHERE id = $1";
    /// `$3` is the kind of release to end, -1 for both kinds.
    END = "UPDATE config_release SET state = $4, end_revision = $5 \
         WHERE item_id = $1 AND state = $2 AND $3 IN (-1, kind)";
    ACTIVE = "SELECT * FROM config_release WHERE item_id = $1 AND state = $2 ORDER BY id";
    END_ALL: pair = of_ids!(
        "UPDATE config_release SET state = $4, end_revision = $5 WHERE item_id",
        "AND state = $2 AND kind = $3"
    );
    ACTIVE_OF: pair = of_ids!("SELECT * FROM config_release WHERE item_id", "AND state = 0 ORDER BY id");
    ENDED_AT: pair = of_ids!(
        "SELECT * FROM config_release WHERE item_id",
        "AND kind = 0 AND end_revision = $2 ORDER BY id"
    );
    PARTS: pair = [
        "SELECT config_release.*, key FROM config_release JOIN config_item ON config_item.id = item_id \
         WHERE config_release.id = ANY(CAST($1 AS BIGINT[])) OR set_id = ANY(CAST($1 AS BIGINT[])) \
         ORDER BY config_release.id",
        "SELECT config_release.*, key FROM config_release JOIN config_item ON config_item.id = item_id \
         WHERE config_release.id IN (SELECT value FROM json_each($1)) \
         OR set_id IN (SELECT value FROM json_each($1)) ORDER BY config_release.id",
    ];
    LIST_SETS = "SELECT id FROM config_release WHERE app_id = $1 AND profile = $2 AND set_id IS NULL \
         AND id >= $3 AND id < $4 ORDER BY id DESC LIMIT $5";
    LIST_SETS_OF_KEY = "SELECT COALESCE(set_id, config_release.id) AS head FROM config_release \
         JOIN config_item ON config_item.id = item_id \
         WHERE config_item.app_id = $1 AND config_item.profile = $2 AND key = $6 \
         AND COALESCE(set_id, config_release.id) >= $3 AND COALESCE(set_id, config_release.id) < $4 \
         ORDER BY head DESC LIMIT $5";
    WITH_ACTIVE: pair = of_ids!(
        "SELECT DISTINCT item_id FROM config_release WHERE state = 0 AND (version > 0 OR kind = 1) AND item_id", ""
    );
    LIST = "SELECT config_release.*, key FROM config_release JOIN config_item ON config_item.id = item_id \
         WHERE config_item.app_id = $1 AND config_item.profile = $2 AND key = COALESCE($3, key) \
         ORDER BY config_release.id DESC LIMIT $4";
    SINCE = concat!(
        deliverables!(),
        "WHERE config_release.id IN (\
         SELECT id FROM config_release WHERE app_id = $1 AND revision > $2 \
         UNION SELECT id FROM config_release WHERE app_id = $1 AND end_revision > $2) \
         ORDER BY config_release.id"
    );
    SINCE_WHOLE = concat!(
        deliverables!(),
        "WHERE config_release.app_id = $1 AND (config_release.revision > $2 OR config_release.end_revision > $2 \
         OR config_release.end_revision IS NULL OR config_release.id = \
         (SELECT MAX(last.id) FROM config_release last WHERE last.item_id = config_release.item_id) \
         OR config_release.end_revision = \
         (SELECT MAX(last.end_revision) FROM config_release last WHERE last.item_id = config_release.item_id)) \
         ORDER BY config_release.id"
    );
}

const INSERT_PARTS_TAIL: &str = ") INSERT INTO config_release \
     (item_id, version, kind, state, publisher, publish_time, revision, end_revision, nodes, origin, \
     set_id, title, change_set_id, app_id, profile) \
     SELECT item_id, part.version, kind, state, publisher, publish_time, part.revision, end_revision, nodes, origin, \
     set_id, title, change_set_id, app_id, profile \
     FROM part JOIN config_item ON config_item.id = item_id ORDER BY place";

impl FromRow for Release {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let kind = ReleaseKind::from_id(row.get("kind")?);
        let state = ReleaseState::from_id(row.get("state")?);
        let nodes: String = row.get("nodes")?;
        Ok(Self {
            id: row.get("id")?,
            set: row.optional("set_id")?,
            title: row.get("title")?,
            change_set: row.optional("change_set_id")?,
            item: row.get("item_id")?,
            version: row.get("version")?,
            kind: kind.ok_or(StorageError::Corrupt { what: "release kind" })?,
            state: state.ok_or(StorageError::Corrupt { what: "release state" })?,
            publisher: row.get("publisher")?,
            publish_time: row.get("publish_time")?,
            revision: row.get("revision")?,
            end_revision: row.optional("end_revision")?,
            nodes: nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect(),
            origin: row.optional("origin")?,
        })
    }
}

/// A release with the key of its item.
impl FromRow for (Release, String) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok((Release::from_row(row)?, row.get("key")?))
    }
}

impl FromRow for Deliverable {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: Release::from_row(row)?,
            profile: row.get("profile")?,
            key: row.get("key")?,
            value: row.optional("value")?,
        })
    }
}

/// Every column but the id, in the order of the statements.
fn columns(release: &Release) -> [Value<'_>; 13] {
    [
        Value::from(release.item),
        Value::from(release.version),
        Value::from(release.kind.id()),
        Value::from(release.state.id()),
        Value::from(release.publisher),
        Value::from(release.publish_time),
        Value::from(release.revision),
        Value::from(release.end_revision),
        Value::from(release.nodes.join(",")),
        Value::from(release.origin),
        Value::from(release.set),
        Value::from(&release.title),
        Value::from(release.change_set),
    ]
}

#[async_trait]
impl ReleaseRepository for Transaction {
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId> {
        self.connection.one(INSERT, &columns(release)).await
    }

    async fn by_id(&mut self, id: ReleaseId) -> StorageResult<Option<Release>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn end(
        &mut self,
        item: ItemId,
        kind: Option<ReleaseKind>,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()> {
        let kind = kind.map_or(-1, ReleaseKind::id);
        let values = values![item, ReleaseState::Active.id(), kind, state.id(), revision];
        self.connection.execute(END, values).await.map(|_| ())
    }

    async fn active(&mut self, item: ItemId) -> StorageResult<Vec<Release>> {
        self.connection.all(ACTIVE, values![item, ReleaseState::Active.id()]).await
    }

    async fn insert_parts(&mut self, parts: &[Release]) -> StorageResult<()> {
        let placed = (0_i64..).zip(parts);
        let values: Vec<Value<'_>> =
            placed.flat_map(|(place, part)| columns(part).into_iter().chain([place.into()])).collect();
        self.connection.execute_rows(INSERT_PARTS, INSERT_PARTS_TAIL, 14, &values).await.map(|_| ())
    }

    async fn end_all(
        &mut self,
        items: &[ItemId],
        kind: ReleaseKind,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()> {
        let values = values![ids(items), ReleaseState::Active.id(), kind.id(), state.id(), revision];
        self.connection.execute(END_ALL, values).await.map(|_| ())
    }

    async fn active_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<Release>> {
        self.connection.all(ACTIVE_OF, values![ids(items)]).await
    }

    async fn ended_at(&mut self, items: &[ItemId], revision: i64) -> StorageResult<Vec<Release>> {
        self.connection.all(ENDED_AT, values![ids(items), revision]).await
    }

    async fn parts(&mut self, of: &[ReleaseId]) -> StorageResult<Vec<(Release, String)>> {
        self.connection.all(PARTS, values![ids(of)]).await
    }

    async fn list_sets(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        page: Page,
    ) -> StorageResult<Vec<ReleaseId>> {
        let Page { start, before, count, .. } = page;
        match key {
            None => self.connection.all(LIST_SETS, values![app, profile, start, before, count]).await,
            Some(key) => {
                let values = values![app, profile, start, before, count, key];
                self.connection.all(LIST_SETS_OF_KEY, values).await
            }
        }
    }

    async fn with_active(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemId>> {
        let mut active: Vec<ItemId> = self.connection.all(WITH_ACTIVE, values![ids(items)]).await?;
        active.sort_unstable();
        Ok(active)
    }

    async fn list(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        limit: i64,
    ) -> StorageResult<Vec<(Release, String)>> {
        self.connection.all(LIST, values![app, profile, key, limit]).await
    }

    async fn since(&mut self, app: AppId, revision: i64, whole: bool) -> StorageResult<Vec<Deliverable>> {
        self.connection.all(if whole { SINCE_WHOLE } else { SINCE }, values![app, revision]).await
    }
}
