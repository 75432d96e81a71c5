//! Releases.

use async_trait::async_trait;
use pilothouse_core::config::{
    AppId, Deliverable, ItemId, Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState,
};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO config_release \
     (item_id, version, kind, state, publisher, publish_time, revision, end_revision, nodes, origin) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
const BY_ID: &str = "SELECT * FROM config_release WHERE id = $1";
/// Where `$3` is -1, of both kinds.
const END: &str = "UPDATE config_release SET state = $4, end_revision = $5 \
     WHERE item_id = $1 AND state = $2 AND $3 IN (-1, kind)";
const ACTIVE: &str = "SELECT * FROM config_release WHERE item_id = $1 AND state = $2 ORDER BY id";
const LIST: &str = "SELECT config_release.*, key FROM config_release JOIN config_item ON config_item.id = item_id \
     WHERE app_id = $1 AND profile = $2 AND key = COALESCE($3, key) ORDER BY config_release.id DESC LIMIT $4";
/// The value only of those that are active.
const SINCE: &str = "SELECT config_release.*, profile, key, value FROM config_release \
     JOIN config_item ON config_item.id = config_release.item_id \
     LEFT JOIN config_version ON config_version.item_id = config_release.item_id \
     AND config_version.version = config_release.version AND config_release.end_revision IS NULL \
     WHERE app_id = $1 AND (config_release.revision > $2 OR config_release.end_revision > $2 \
     OR ($3 AND (config_release.end_revision IS NULL OR config_release.id = \
     (SELECT MAX(last.id) FROM config_release last WHERE last.item_id = config_release.item_id)))) \
     ORDER BY config_release.id";

#[derive(FromRow)]
struct ReleaseRow {
    id: i64,
    item_id: i64,
    version: i64,
    kind: i64,
    state: i64,
    publisher: i64,
    publish_time: i64,
    revision: i64,
    end_revision: Option<i64>,
    nodes: String,
    origin: Option<i64>,
}

#[derive(FromRow)]
struct ListedRow {
    key: String,
    #[sqlx(flatten)]
    release: ReleaseRow,
}

#[derive(FromRow)]
struct DeliverableRow {
    profile: String,
    key: String,
    value: Option<String>,
    #[sqlx(flatten)]
    release: ReleaseRow,
}

impl TryFrom<ReleaseRow> for Release {
    type Error = StorageError;

    fn try_from(row: ReleaseRow) -> StorageResult<Self> {
        let kind = ReleaseKind::from_id(row.kind).ok_or(StorageError::Corrupt { what: "release kind" })?;
        let state =
            ReleaseState::from_id(row.state).ok_or(StorageError::Corrupt { what: "release state" })?;
        Ok(Self {
            id: row.id,
            item: row.item_id,
            version: row.version,
            kind,
            state,
            publisher: row.publisher,
            publish_time: time(row.publish_time)?,
            revision: row.revision,
            end_revision: row.end_revision,
            nodes: row.nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect(),
            origin: row.origin,
        })
    }
}

#[async_trait]
impl ReleaseRepository for Transaction {
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId> {
        let &Release { item, version, kind, state, publisher, publish_time, revision, .. } = release;
        let values = values![
            item,
            version,
            kind.id(),
            state.id(),
            publisher,
            publish_time,
            revision,
            release.end_revision,
            release.nodes.join(","),
            release.origin,
        ];
        let (id,): (i64,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn by_id(&mut self, id: ReleaseId) -> StorageResult<Option<Release>> {
        self.connection.optional::<ReleaseRow>(BY_ID, values![id]).await?.map(Release::try_from).transpose()
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
        let rows =
            self.connection.all::<ReleaseRow>(ACTIVE, values![item, ReleaseState::Active.id()]).await?;
        rows.into_iter().map(Release::try_from).collect()
    }

    async fn list(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        limit: i64,
    ) -> StorageResult<Vec<(Release, String)>> {
        let rows = self.connection.all::<ListedRow>(LIST, values![app, profile, key, limit]).await?;
        rows.into_iter().map(|row| Ok((row.release.try_into()?, row.key))).collect()
    }

    async fn since(&mut self, app: AppId, revision: i64, whole: bool) -> StorageResult<Vec<Deliverable>> {
        let rows = self.connection.all::<DeliverableRow>(SINCE, values![app, revision, whole]).await?;
        let deliverable = |row: DeliverableRow| {
            let DeliverableRow { profile, key, value, release } = row;
            Ok(Deliverable { release: release.try_into()?, profile, key, value })
        };
        rows.into_iter().map(deliverable).collect()
    }
}
