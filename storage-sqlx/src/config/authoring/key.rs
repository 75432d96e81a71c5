//! Repository of app keys: the table `app_key`.

use async_trait::async_trait;
use pilothouse_core::config::{AppId, AppKey, AppKeyId, AppKeyRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{ids, values};

statements! {
    INSERT = "INSERT INTO app_key (app_id, salt, digest, encrypted, create_time) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING RETURNING id";
    FIND = "SELECT * FROM app_key WHERE id = $1";
    APP_BY_DIGEST = "SELECT app_id FROM app_key WHERE digest = $1";
    OF_APP = "SELECT * FROM app_key WHERE app_id = $1 ORDER BY id";
    IDS: pair = of_ids!("SELECT app_id, id FROM app_key WHERE app_id", "ORDER BY id");
    DELETE = "DELETE FROM app_key WHERE id = $1";
}

impl FromRow for AppKey {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            app: row.get("app_id")?,
            salt: row.get("salt")?,
            digest: row.get("digest")?,
            encrypted: row.optional("encrypted")?,
            create_time: row.get("create_time")?,
        })
    }
}

#[async_trait]
impl AppKeyRepository for Transaction {
    async fn insert(&mut self, key: &AppKey) -> StorageResult<Option<AppKeyId>> {
        let encrypted = key.encrypted.as_deref();
        let values = values![key.app, &key.salt[..], &key.digest[..], encrypted, key.create_time];
        self.connection.optional(INSERT, values).await
    }

    async fn find(&mut self, id: AppKeyId) -> StorageResult<Option<AppKey>> {
        self.connection.optional(FIND, values![id]).await
    }

    async fn app_by_digest(&mut self, digest: &[u8; 32]) -> StorageResult<Option<AppId>> {
        self.connection.optional(APP_BY_DIGEST, values![&digest[..]]).await
    }

    async fn of_app(&mut self, app: AppId) -> StorageResult<Vec<AppKey>> {
        self.connection.all(OF_APP, values![app]).await
    }

    async fn ids(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, AppKeyId)>> {
        self.connection.all(IDS, values![ids(apps)]).await
    }

    async fn delete(&mut self, id: AppKeyId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
