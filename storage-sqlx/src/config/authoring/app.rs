//! App repository: the table `app`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{App, AppCounts, AppId, AppRepository, AppRevision, LEASE};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{ids, values};

statements! {
    INSERT = "INSERT INTO app (app, app_type, name, charger, create_time, revision, epoch) \
         SELECT $1, $2, $3, $4, $5, 0, epoch FROM store_identity WHERE TRUE ON CONFLICT DO NOTHING RETURNING id";
    BY_ID = "SELECT * FROM app WHERE id = $1";
    BY_NAME = "SELECT * FROM app WHERE app = $1";
    OF_ACCOUNT = "SELECT * FROM app WHERE EXISTS (SELECT 1 FROM app_grant \
         WHERE account_id = $1 AND COALESCE(app_id, app.id) = app.id) ORDER BY id";
    UPDATE = "UPDATE app SET app_type = $2, name = $3, charger = $4 WHERE id = $1";
    RAISE_REVISION = "UPDATE app SET revision = revision + 1 WHERE id = $1 RETURNING revision";
    REVISIONS: pair = of_ids!("SELECT id, epoch, revision FROM app WHERE id", "ORDER BY id");
    COUNTS: pair = of_ids!(
        "SELECT app.id, (SELECT COUNT(DISTINCT profile) FROM config_item WHERE app_id = app.id AND NOT deleted) AS profiles, \
         (SELECT COUNT(*) FROM config_item WHERE app_id = app.id AND NOT deleted) AS items, \
         (SELECT COUNT(*) FROM config_item WHERE app_id = app.id AND NOT deleted AND version <> published_version) AS drafts, \
         (SELECT COUNT(DISTINCT COALESCE(set_id, config_release.id)) FROM config_release \
         WHERE app_id = app.id AND kind = 1 AND end_revision IS NULL) AS grey, \
         (SELECT COUNT(*) FROM config_node WHERE app_id = app.id AND NOT has_left AND lease_until > $2 AND lease_until <= $3) \
         AS online FROM app WHERE app.id",
        "ORDER BY app.id"
    );
    NEXT_EPOCH = "UPDATE store_identity SET epoch = epoch + 1 WHERE EXISTS (SELECT 1 FROM app \
         WHERE app.id = $1 AND app.revision > 0)";
    DELETE = "DELETE FROM app WHERE id = $1";
}

impl FromRow for App {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let app_type = i64::try_into(row.get("app_type")?);
        Ok(Self {
            id: row.get("id")?,
            app: row.get("app")?,
            app_type: app_type.map_err(|_| StorageError::Corrupt { what: "app type" })?,
            name: row.get("name")?,
            charger: row.get("charger")?,
            create_time: row.get("create_time")?,
            epoch: row.get("epoch")?,
            revision: row.get("revision")?,
        })
    }
}

impl FromRow for AppRevision {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { app: row.get("id")?, epoch: row.get("epoch")?, number: row.get("revision")? })
    }
}

impl FromRow for AppCounts {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            app: row.get("id")?,
            profiles: row.get("profiles")?,
            items: row.get("items")?,
            drafts: row.get("drafts")?,
            grey: row.get("grey")?,
            online: row.get("online")?,
        })
    }
}

#[async_trait]
impl AppRepository for Transaction {
    async fn insert(&mut self, app: &App) -> StorageResult<Option<AppId>> {
        let App { app, app_type, name, charger, create_time, .. } = app;
        let values = values![app, i64::from(*app_type), name, charger, *create_time];
        self.connection.optional(INSERT, values).await
    }

    async fn by_id(&mut self, id: AppId) -> StorageResult<Option<App>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn by_name(&mut self, app: &str) -> StorageResult<Option<App>> {
        self.connection.optional(BY_NAME, values![app]).await
    }

    async fn of_account(&mut self, account: AccountId) -> StorageResult<Vec<App>> {
        self.connection.all(OF_ACCOUNT, values![account]).await
    }

    async fn update(&mut self, app: &App) -> StorageResult<bool> {
        let App { id, app_type, name, charger, .. } = app;
        let values = values![*id, i64::from(*app_type), name, charger];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn raise_revision(&mut self, id: AppId) -> StorageResult<Option<i64>> {
        self.connection.optional(RAISE_REVISION, values![id]).await
    }

    async fn revisions(&mut self, apps: &[AppId]) -> StorageResult<Vec<AppRevision>> {
        self.connection.all(REVISIONS, values![ids(apps)]).await
    }

    async fn counts(&mut self, apps: &[AppId], now: DateTime<Utc>) -> StorageResult<Vec<AppCounts>> {
        self.connection.all(COUNTS, values![ids(apps), now, LEASE.latest_end(now)]).await
    }

    async fn delete(&mut self, id: AppId) -> StorageResult<bool> {
        self.connection.execute(NEXT_EPOCH, values![id]).await?;
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
