//! Apps.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{App, AppId, AppRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::database::of_ids;
use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO app (app, app_type, name, charger, create_time, revision) \
     VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING RETURNING id";
const BY_ID: &str = "SELECT * FROM app WHERE id = $1";
const BY_NAME: &str = "SELECT * FROM app WHERE app = $1";
const OF_ACCOUNT: &str = "SELECT * FROM app WHERE EXISTS (SELECT 1 FROM app_grant \
     WHERE account_id = $1 AND COALESCE(app_id, app.id) = app.id) ORDER BY id";
const UPDATE: &str = "UPDATE app SET app_type = $2, name = $3, charger = $4 WHERE id = $1";
const RAISE_REVISION: &str = "UPDATE app SET revision = revision + 1 WHERE id = $1 RETURNING revision";
const REVISIONS: [&str; 2] = of_ids!("SELECT id, revision FROM app WHERE id", "ORDER BY id");
const DELETE: &str = "DELETE FROM app WHERE id = $1";

#[derive(FromRow)]
struct AppRow {
    id: i64,
    app: String,
    app_type: i64,
    name: String,
    charger: String,
    create_time: i64,
    revision: i64,
}

impl TryFrom<AppRow> for App {
    type Error = StorageError;

    fn try_from(row: AppRow) -> StorageResult<Self> {
        let AppRow { id, app, app_type, name, charger, create_time, revision } = row;
        let app_type = app_type.try_into().map_err(|_| StorageError::Corrupt { what: "app type" })?;
        Ok(Self { id, app, app_type, name, charger, create_time: time(create_time)?, revision })
    }
}

#[async_trait]
impl AppRepository for Transaction {
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>> {
        let App { app, app_type, name, charger, create_time, .. } = app;
        let values = values![app, i64::from(*app_type), name, charger, *create_time];
        let id: Option<(i64,)> = self.connection.optional(INSERT, values).await?;
        Ok(id.map(|(id,)| id))
    }

    async fn by_id(&mut self, id: AppId) -> StorageResult<Option<App>> {
        self.connection.optional::<AppRow>(BY_ID, values![id]).await?.map(App::try_from).transpose()
    }

    async fn by_name(&mut self, app: &str) -> StorageResult<Option<App>> {
        self.connection.optional::<AppRow>(BY_NAME, values![app]).await?.map(App::try_from).transpose()
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<App>> {
        let rows = self.connection.all::<AppRow>(OF_ACCOUNT, values![account]).await?;
        rows.into_iter().map(App::try_from).collect()
    }

    async fn update(&mut self, app: &App) -> StorageResult<bool> {
        let App { id, app_type, name, charger, .. } = app;
        let values = values![*id, i64::from(*app_type), name, charger];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn raise_revision(&mut self, id: AppId) -> StorageResult<Option<i64>> {
        let raised: Option<(i64,)> = self.connection.optional(RAISE_REVISION, values![id]).await?;
        Ok(raised.map(|(revision,)| revision))
    }

    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, i64)>> {
        let (sql, apps) = (self.connection.either(REVISIONS), self.connection.list(apps));
        self.connection.all(sql, values![apps]).await
    }

    async fn delete(&mut self, id: AppId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
