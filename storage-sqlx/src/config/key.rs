//! App keys.

use async_trait::async_trait;
use pilothouse_core::config::{AppId, AppKey, AppKeyId, AppKeyRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::database::of_ids;
use crate::storage::Transaction;
use crate::value::{array, time, values};

const INSERT: &str =
    "INSERT INTO app_key (app_id, salt, digest, create_time) VALUES ($1, $2, $3, $4) RETURNING id";
const FIND: &str = "SELECT * FROM app_key WHERE id = $1";
const APP_BY_DIGEST: &str = "SELECT app_id FROM app_key WHERE digest = $1";
const OF_APP: &str = "SELECT * FROM app_key WHERE app_id = $1 ORDER BY id";
const IDS: [&str; 2] = of_ids!("SELECT app_id, id FROM app_key WHERE app_id", "ORDER BY id");
const DELETE: &str = "DELETE FROM app_key WHERE id = $1";

#[derive(FromRow)]
struct KeyRow {
    id: i64,
    app_id: i64,
    salt: Vec<u8>,
    digest: Vec<u8>,
    create_time: i64,
}

impl TryFrom<KeyRow> for AppKey {
    type Error = StorageError;

    fn try_from(row: KeyRow) -> StorageResult<Self> {
        let KeyRow { id, app_id: app, salt, digest, create_time } = row;
        let (salt, digest) = (array(&salt, "salt")?, array(&digest, "digest")?);
        Ok(Self { id, app, salt, digest, create_time: time(create_time)? })
    }
}

#[async_trait]
impl AppKeyRepository for Transaction {
    async fn insert(&mut self, key: &AppKey) -> StorageResult<AppKeyId> {
        let values = values![key.app, &key.salt[..], &key.digest[..], key.create_time];
        let (id,): (i64,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn find(&mut self, id: AppKeyId) -> StorageResult<Option<AppKey>> {
        self.connection.optional::<KeyRow>(FIND, values![id]).await?.map(AppKey::try_from).transpose()
    }

    async fn app_by_digest(&mut self, digest: &[u8; 32]) -> StorageResult<Option<AppId>> {
        let found: Option<(i64,)> = self.connection.optional(APP_BY_DIGEST, values![&digest[..]]).await?;
        Ok(found.map(|(app,)| app))
    }

    async fn of_app(&mut self, app: AppId) -> StorageResult<Vec<AppKey>> {
        let rows = self.connection.all::<KeyRow>(OF_APP, values![app]).await?;
        rows.into_iter().map(AppKey::try_from).collect()
    }

    async fn ids(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, AppKeyId)>> {
        let (sql, apps) = (self.connection.either(IDS), self.connection.list(apps));
        self.connection.all(sql, values![apps]).await
    }

    async fn delete(&mut self, id: AppKeyId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
