//! Repository of pending work: what is open in the tables `config_item`, `change_set` and `config_release`.

use async_trait::async_trait;
use pilothouse_core::config::{
    ActiveGrey, AppId, ChangeSet, ChangeSetId, ChangeSetState, ItemId, PendingItem, PendingRepository,
    ReleaseId,
};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{ids, values};

statements! {
    ITEMS: pair = of_ids!(
        "SELECT item.id, item.app_id, item.profile, item.key, item.version, modifier, modify_time, \
         (SELECT MAX(change_set.id) FROM change_set_item JOIN change_set ON change_set.id = change_set_id \
         WHERE change_set_item.item_id = item.id AND change_set_item.version = item.version \
         AND change_set.state = $3) AS change_set_id \
         FROM config_item item \
         JOIN config_version current ON current.item_id = item.id AND current.version = item.version \
         WHERE item.app_id",
        "AND item.id >= $4 AND NOT item.deleted AND item.version <> item.published_version \
         AND (approver IS NOT NULL) = $2 \
         AND NOT EXISTS (SELECT 1 FROM config_version published WHERE published.item_id = item.id \
         AND published.version = item.published_version AND published.value = current.value \
         AND published.validator = current.validator AND published.description = current.description) \
         AND NOT EXISTS (SELECT 1 FROM config_release WHERE config_release.item_id = item.id \
         AND config_release.version = item.version AND kind = 1 AND state = 0) \
         ORDER BY item.id LIMIT $5"
    );
    SETS: pair = of_ids!(
        "SELECT * FROM change_set WHERE state = $2 AND id >= $3 AND app_id",
        "ORDER BY id LIMIT $4"
    );
    /// Of each release the first part that is still active; the title stands in the first of all.
    GREYS: pair = of_ids!(
        "SELECT head.id, item.app_id, item.profile, head.title, part.change_set_id, part.item_id, item.key, \
         part.version, grey.items, CAST(CASE WHEN part.nodes = '' THEN 0 \
         ELSE LENGTH(part.nodes) - LENGTH(REPLACE(part.nodes, ',', '')) + 1 END AS BIGINT) AS nodes, \
         part.publisher, part.publish_time \
         FROM (SELECT COALESCE(set_id, id) AS head_id, MIN(id) AS part_id, COUNT(*) AS items \
         FROM config_release WHERE kind = 1 AND state = 0 GROUP BY COALESCE(set_id, id)) grey \
         JOIN config_release head ON head.id = grey.head_id JOIN config_release part ON part.id = grey.part_id \
         JOIN config_item item ON item.id = part.item_id WHERE grey.head_id >= $2 AND item.app_id",
        "ORDER BY head.id LIMIT $3"
    );
}

impl FromRow for PendingItem {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            item: row.get("id")?,
            app: row.get("app_id")?,
            profile: row.get("profile")?,
            key: row.get("key")?,
            version: row.get("version")?,
            modifier: row.get("modifier")?,
            modify_time: row.get("modify_time")?,
            change_set: row.optional("change_set_id")?,
        })
    }
}

impl FromRow for ActiveGrey {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: row.get("id")?,
            app: row.get("app_id")?,
            profile: row.get("profile")?,
            title: row.get("title")?,
            change_set: row.optional("change_set_id")?,
            item: row.get("item_id")?,
            key: row.get("key")?,
            version: row.get("version")?,
            items: row.get("items")?,
            nodes: row.get("nodes")?,
            publisher: row.get("publisher")?,
            publish_time: row.get("publish_time")?,
        })
    }
}

#[async_trait]
impl PendingRepository for Transaction {
    async fn pending_items(
        &mut self,
        apps: &[AppId],
        is_approved: bool,
        start: ItemId,
        count: i64,
    ) -> StorageResult<Vec<PendingItem>> {
        let state = if is_approved { ChangeSetState::Approved } else { ChangeSetState::Draft };
        self.connection.all(ITEMS, values![ids(apps), is_approved, state.id(), start, count]).await
    }

    async fn pending_sets(
        &mut self,
        apps: &[AppId],
        state: ChangeSetState,
        start: ChangeSetId,
        count: i64,
    ) -> StorageResult<Vec<ChangeSet>> {
        self.connection.all(SETS, values![ids(apps), state.id(), start, count]).await
    }

    async fn active_greys(
        &mut self,
        apps: &[AppId],
        start: ReleaseId,
        count: i64,
    ) -> StorageResult<Vec<ActiveGrey>> {
        self.connection.all(GREYS, values![ids(apps), start, count]).await
    }
}
