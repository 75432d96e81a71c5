//! Repository of shared namespaces: the table `shared_namespace`.

use async_trait::async_trait;
use pilothouse_core::Epoch;
use pilothouse_core::config::{AppId, SharedNamespace, SharedNamespaceRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    LIST = "SELECT * FROM shared_namespace ORDER BY name";
    FIND = "SELECT * FROM shared_namespace WHERE name = $1";
    SHARE = "INSERT INTO shared_namespace (name, app_id, epoch, base) VALUES ($1, $2, 0, 1) \
         ON CONFLICT (name) DO UPDATE SET app_id = excluded.app_id, base = shared_namespace.base + 1 \
         WHERE shared_namespace.app_id IS NULL";
    WITHDRAW = "UPDATE shared_namespace SET app_id = NULL, base = base + $4 + 1, \
         epoch = CASE WHEN epoch < $3 THEN $3 ELSE epoch END WHERE name = $1 AND app_id = $2";
}

impl FromRow for SharedNamespace {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            name: row.get("name")?,
            app: row.optional("app_id")?,
            epoch: row.get("epoch")?,
            base: row.get("base")?,
        })
    }
}

#[async_trait]
impl SharedNamespaceRepository for Transaction {
    async fn list(&mut self) -> StorageResult<Vec<SharedNamespace>> {
        self.connection.all(LIST, values![]).await
    }

    async fn find(&mut self, name: &str) -> StorageResult<Option<SharedNamespace>> {
        self.connection.optional(FIND, values![name]).await
    }

    async fn share(&mut self, name: &str, app: AppId) -> StorageResult<bool> {
        Ok(self.connection.execute(SHARE, values![name, app]).await? > 0)
    }

    async fn withdraw(&mut self, name: &str, app: AppId, epoch: Epoch, revision: i64) -> StorageResult<bool> {
        Ok(self.connection.execute(WITHDRAW, values![name, app, epoch, revision]).await? > 0)
    }
}
