//! Release repository: the table `config_release`.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::config::{
    AppId, Deliverable, GreysBeside, ItemId, Release, ReleaseId, ReleaseKind, ReleasePart, ReleaseRepository,
    ReleaseSize, ReleaseState, ReleaseSummary, ReleasedItem,
};
use pilothouse_core::ports::StorageResult;

use super::release_row::PartState;
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

/// Parts of the releases that are named by their first parts.
macro_rules! part_versions {
    ($among:literal) => {
        concat!(
            "SELECT COALESCE(part.set_id, part.id) AS head_id, part.id, part.version, origin.id AS origin_id, \
             COALESCE(origin.set_id, origin.id) AS origin_head_id \
             FROM config_release part LEFT JOIN config_release origin ON origin.id = part.origin WHERE part.id",
            $among,
            " AND part.set_id IS NULL OR part.set_id",
            $among,
            " ORDER BY part.id"
        )
    };
}

/// Releases with a part that followed one of the releases that are named by their first parts.
macro_rules! followers {
    ($among:literal) => {
        concat!(
            "SELECT DISTINCT COALESCE(follower.set_id, follower.id) AS head_id FROM (\
             SELECT id FROM config_release WHERE set_id IS NULL AND id",
            $among,
            " UNION ALL SELECT id FROM config_release WHERE set_id",
            $among,
            ") wanted JOIN config_release follower ON follower.origin = wanted.id ORDER BY head_id"
        )
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
    SUMMARIES: pair = of_ids!(
        "SELECT config_release.*, key FROM config_release JOIN config_item ON config_item.id = item_id \
         WHERE set_id IS NULL AND config_release.id",
        "ORDER BY config_release.id"
    );
    PART_STATES: pair = of_ids!(
        "SELECT set_id, state, COUNT(*) AS parts FROM config_release WHERE set_id",
        "GROUP BY set_id, state"
    );
    ITEMS_OF = "SELECT item_id, key, config_release.version FROM config_release \
         JOIN config_item ON config_item.id = item_id \
         WHERE config_release.id = $1 AND set_id IS NULL OR set_id = $1 ORDER BY config_release.id";
    SIZES: pair = of_ids!(
        "SELECT part.set_id, COUNT(*) + 1 AS parts, CAST(SUM(CASE WHEN part.version > 0 THEN 1 ELSE 0 END) \
         + MAX(CASE WHEN head.version > 0 THEN 1 ELSE 0 END) AS BIGINT) AS versions \
         FROM config_release part JOIN config_release head ON head.id = part.set_id WHERE part.set_id",
        "GROUP BY part.set_id ORDER BY part.set_id"
    );
    PART_VERSIONS: pair = [
        part_versions!(" = ANY(CAST($1 AS BIGINT[]))"),
        part_versions!(" IN (SELECT value FROM json_each($1))"),
    ];
    FOLLOWERS: pair = [
        followers!(" = ANY(CAST($1 AS BIGINT[]))"),
        followers!(" IN (SELECT value FROM json_each($1))"),
    ];
    GREYS_BESIDE: pair = of_ids!(
        "SELECT DISTINCT found.head_id, found.nodes FROM (\
         SELECT DISTINCT COALESCE(part.set_id, part.id) AS head_id, grey.nodes FROM config_release grey \
         CROSS JOIN config_release part WHERE grey.kind = 1 AND grey.state = 0 \
         AND part.item_id = grey.item_id AND part.kind = 0 AND part.state = 0) found \
         WHERE NOT EXISTS (SELECT 1 FROM config_release other \
         WHERE (other.id = found.head_id OR other.set_id = found.head_id) AND other.state = 0 \
         AND (other.kind <> 0 OR NOT EXISTS (SELECT 1 FROM config_release beside \
         WHERE beside.item_id = other.item_id AND beside.kind = 1 AND beside.state = 0))) AND found.head_id",
        ""
    );
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

    async fn summaries(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSummary>> {
        let mut summaries: Vec<ReleaseSummary> =
            self.connection.all(SUMMARIES, values![ids(releases)]).await?;
        let parts: Vec<PartState> = self.connection.all(PART_STATES, values![ids(releases)]).await?;
        for PartState { release, state, parts } in parts {
            if let Ok(at) = summaries.binary_search_by_key(&release, |summary| summary.first.id) {
                summaries[at].parts[state as usize] += parts;
            }
        }
        Ok(summaries)
    }

    async fn items_of(&mut self, release: ReleaseId) -> StorageResult<Vec<ReleasedItem>> {
        self.connection.all(ITEMS_OF, values![release]).await
    }

    async fn sizes(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSize>> {
        self.connection.all(SIZES, values![ids(releases)]).await
    }

    async fn part_versions(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleasePart>> {
        self.connection.all(PART_VERSIONS, values![ids(releases)]).await
    }

    async fn followers(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseId>> {
        self.connection.all(FOLLOWERS, values![ids(releases)]).await
    }

    async fn greys_beside(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<GreysBeside>> {
        let mut beside: Vec<GreysBeside> = self.connection.all(GREYS_BESIDE, values![ids(releases)]).await?;
        // Not ORDER BY: the order of texts would be that of the database's locale.
        beside.sort_by(|one, other| (one.release, &one.nodes).cmp(&(other.release, &other.nodes)));
        Ok(beside)
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
