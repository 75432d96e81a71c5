//! Cdns.

use async_trait::async_trait;
use pilothouse_core::cdn::{Cdn, CdnId, CdnRepository};
use pilothouse_core::ports::StorageResult;
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str = "INSERT INTO cdn (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id";
const BY_ID: &str = "SELECT id, name FROM cdn WHERE id = $1";
const BY_NAME: &str = "SELECT id, name FROM cdn WHERE name = $1";
const LIST: &str = "SELECT id, name FROM cdn ORDER BY id";
const RENAME: &str = "UPDATE cdn SET name = $2 WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM cdn AS other WHERE other.name = $2 AND other.id <> $1)";

/// A row of `cdn`.
#[derive(FromRow)]
pub(super) struct CdnRow {
    id: i64,
    name: String,
}

impl From<CdnRow> for Cdn {
    fn from(CdnRow { id, name }: CdnRow) -> Self {
        Self { id, name }
    }
}

#[async_trait]
impl CdnRepository for Transaction {
    async fn insert(&mut self, name: &str) -> StorageResult<Option<CdnId>> {
        let id: Option<(i64,)> = self.connection.optional(INSERT, values![name]).await?;
        Ok(id.map(|(id,)| id))
    }

    async fn by_id(&mut self, id: CdnId) -> StorageResult<Option<Cdn>> {
        Ok(self.connection.optional::<CdnRow>(BY_ID, values![id]).await?.map(Cdn::from))
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Cdn>> {
        Ok(self.connection.optional::<CdnRow>(BY_NAME, values![name]).await?.map(Cdn::from))
    }

    async fn list(&mut self) -> StorageResult<Vec<Cdn>> {
        let rows = self.connection.all::<CdnRow>(LIST, values![]).await?;
        Ok(rows.into_iter().map(Cdn::from).collect())
    }

    async fn rename(&mut self, cdn: &Cdn) -> StorageResult<bool> {
        Ok(self.connection.execute(RENAME, values![cdn.id, &cdn.name]).await? > 0)
    }
}
