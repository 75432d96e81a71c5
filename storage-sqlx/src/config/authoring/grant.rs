//! Grant repository: the table `app_grant`.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, Grant, GrantId, GrantRepository, Permission};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO app_grant (account_id, app_id, profile, uname, permission) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING RETURNING id";
    FIND = "SELECT * FROM app_grant WHERE id = $1";
    /// 0 is no app's id, so it can stand for every app.
    LIST = "SELECT * FROM app_grant WHERE COALESCE(app_id, 0) = $1 ORDER BY id";
    HELD = "SELECT * FROM app_grant WHERE account_id = $1 AND COALESCE(app_id, 0) IN (0, $2) ORDER BY id";
    UPDATE = "UPDATE app_grant SET permission = $2 WHERE id = $1";
    DELETE = "DELETE FROM app_grant WHERE id = $1";
}

impl FromRow for Grant {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            account: row.get("account_id")?,
            uname: row.get("uname")?,
            app: row.optional("app_id")?,
            profile: row.optional("profile")?,
            permission: permission_of(row.get("permission")?)?,
        })
    }
}

fn permission_of(id: i64) -> StorageResult<Permission> {
    Permission::from_id(id).ok_or(StorageError::Corrupt { what: "permission" })
}

#[async_trait]
impl GrantRepository for Transaction {
    async fn insert(&mut self, grant: &Grant) -> StorageResult<Option<GrantId>> {
        let Grant { account, uname, app, profile, permission, .. } = grant;
        let values = values![*account, *app, profile.as_deref(), uname, permission.id()];
        self.connection.optional(INSERT, values).await
    }

    async fn find(&mut self, id: GrantId) -> StorageResult<Option<Grant>> {
        self.connection.optional(FIND, values![id]).await
    }

    async fn list(&mut self, app: Option<AppId>) -> StorageResult<Vec<Grant>> {
        self.connection.all(LIST, values![app.unwrap_or(AppId(0))]).await
    }

    async fn held(&mut self, account: AccountId, app: Option<AppId>) -> StorageResult<Vec<Grant>> {
        self.connection.all(HELD, values![account, app.unwrap_or(AppId(0))]).await
    }

    async fn update(&mut self, id: GrantId, permission: Permission) -> StorageResult<bool> {
        Ok(self.connection.execute(UPDATE, values![id, permission.id()]).await? > 0)
    }

    async fn delete(&mut self, id: GrantId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
