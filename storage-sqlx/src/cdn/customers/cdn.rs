//! Cdn repository: the table `cdn`.

use async_trait::async_trait;
use pilothouse_core::cdn::{Cdn, CdnId, CdnRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO cdn (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id";
    BY_ID = "SELECT id, name FROM cdn WHERE id = $1";
    BY_NAME = "SELECT id, name FROM cdn WHERE name = $1";
    LIST = "SELECT id, name FROM cdn ORDER BY id";
    RENAME = "UPDATE cdn SET name = $2 WHERE id = $1 \
         AND NOT EXISTS (SELECT 1 FROM cdn AS other WHERE other.name = $2 AND other.id <> $1)";
}

impl FromRow for Cdn {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { id: row.get("id")?, name: row.get("name")? })
    }
}

#[async_trait]
impl CdnRepository for Transaction {
    async fn insert(&mut self, name: &str) -> StorageResult<Option<CdnId>> {
        self.connection.optional(INSERT, values![name]).await
    }

    async fn by_id(&mut self, id: CdnId) -> StorageResult<Option<Cdn>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Cdn>> {
        self.connection.optional(BY_NAME, values![name]).await
    }

    async fn list(&mut self) -> StorageResult<Vec<Cdn>> {
        self.connection.all(LIST, values![]).await
    }

    async fn rename(&mut self, cdn: &Cdn) -> StorageResult<bool> {
        Ok(self.connection.execute(RENAME, values![cdn.id, &cdn.name]).await? > 0)
    }
}
