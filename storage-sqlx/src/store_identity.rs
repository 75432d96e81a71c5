//! Identity of the store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Epoch, StoreIdentity, StoreIdentityRepository};

use crate::row::{Cell, Column, FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    IDENTITY = "SELECT store_id, epoch, renewed, secret_check FROM store_identity";
    SET_SECRET_CHECK = "UPDATE store_identity SET secret_check = $1 WHERE secret_check IS NULL";
    BLOB_FOLDER = "SELECT blob_folder FROM store_identity";
    SET_BLOB_FOLDER = "UPDATE store_identity SET blob_folder = $1 WHERE blob_folder IS NULL";
    pub(crate) RENEW = "UPDATE store_identity SET epoch = $1, renewed = $2 WHERE epoch < $1";
    pub(crate) RENEW_APPS = "UPDATE app SET epoch = $1";
}

impl Column for Epoch {
    fn decode(cell: &Cell<'_>) -> StorageResult<Option<Self>> {
        Ok(i64::decode(cell)?.map(Epoch))
    }
}

impl From<Epoch> for Value<'_> {
    fn from(epoch: Epoch) -> Self {
        epoch.0.into()
    }
}

impl FromRow for StoreIdentity {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("store_id")?,
            epoch: row.get("epoch")?,
            renewed: row.optional("renewed")?,
            secret_check: row.optional("secret_check")?,
        })
    }
}

#[async_trait]
impl StoreIdentityRepository for Transaction {
    async fn identity(&mut self) -> StorageResult<StoreIdentity> {
        self.connection.one(IDENTITY, values![]).await
    }

    async fn set_secret_check(&mut self, check: [u8; 32]) -> StorageResult<bool> {
        Ok(self.connection.execute(SET_SECRET_CHECK, values![&check[..]]).await? > 0)
    }

    async fn blob_folder(&mut self) -> StorageResult<Option<String>> {
        self.connection.one(BLOB_FOLDER, values![]).await
    }

    async fn set_blob_folder(&mut self, id: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(SET_BLOB_FOLDER, values![id]).await? > 0)
    }

    async fn renew_epoch(&mut self, epoch: Epoch, now: DateTime<Utc>) -> StorageResult<bool> {
        if self.connection.execute(RENEW, values![epoch, now]).await? == 0 {
            return Ok(false);
        }
        self.connection.execute(RENEW_APPS, values![epoch]).await?;
        Ok(true)
    }
}
