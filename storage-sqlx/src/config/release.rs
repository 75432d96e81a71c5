//! Releases.

use async_trait::async_trait;
use pilothouse_core::config::{ItemId, Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO config_release (item_id, version, kind, state, publisher, publish_time, revision) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
const SUPERSEDE: &str = "UPDATE config_release SET state = $3 WHERE item_id = $1 AND state = $2";
const OF_ITEM: &str = "SELECT * FROM config_release WHERE item_id = $1 ORDER BY id DESC";

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
}

impl TryFrom<ReleaseRow> for Release {
    type Error = StorageError;

    fn try_from(row: ReleaseRow) -> StorageResult<Self> {
        let ReleaseRow { id, item_id: item, version, kind, state, publisher, publish_time, revision } = row;
        let kind = ReleaseKind::from_id(kind).ok_or(StorageError::Corrupt { what: "release kind" })?;
        let state = ReleaseState::from_id(state).ok_or(StorageError::Corrupt { what: "release state" })?;
        let publish_time = time(publish_time)?;
        Ok(Self { id, item, version, kind, state, publisher, publish_time, revision })
    }
}

#[async_trait]
impl ReleaseRepository for Transaction {
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId> {
        let &Release { item, version, kind, state, publisher, publish_time, revision, .. } = release;
        let values = values![item, version, kind.id(), state.id(), publisher, publish_time, revision];
        let (id,): (i64,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn supersede(&mut self, item: ItemId) -> StorageResult<()> {
        let values = values![item, ReleaseState::Active.id(), ReleaseState::Superseded.id()];
        self.connection.execute(SUPERSEDE, values).await.map(|_| ())
    }

    async fn of_item(&mut self, item: ItemId) -> StorageResult<Vec<Release>> {
        let rows = self.connection.all::<ReleaseRow>(OF_ITEM, values![item]).await?;
        rows.into_iter().map(Release::try_from).collect()
    }
}
