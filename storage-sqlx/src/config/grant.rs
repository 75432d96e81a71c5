//! Grants on apps.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{AppId, Grant, GrantId, GrantRepository, Permission};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str = "INSERT INTO app_grant (account_id, app_id, uname, permission) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING RETURNING id";
const FIND: &str = "SELECT * FROM app_grant WHERE id = $1";
/// 0 is no app's id, so it can stand for every app.
const LIST: &str = "SELECT * FROM app_grant WHERE COALESCE(app_id, 0) = $1 ORDER BY id";
const STRONGEST: &str =
    "SELECT MAX(permission) FROM app_grant WHERE account_id = $1 AND COALESCE(app_id, 0) IN (0, $2)";
const UPDATE: &str = "UPDATE app_grant SET permission = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM app_grant WHERE id = $1";

#[derive(FromRow)]
struct GrantRow {
    id: i64,
    account_id: i64,
    app_id: Option<i64>,
    uname: String,
    permission: i64,
}

impl TryFrom<GrantRow> for Grant {
    type Error = StorageError;

    fn try_from(row: GrantRow) -> StorageResult<Self> {
        let GrantRow { id, account_id: account, app_id: app, uname, permission } = row;
        Ok(Self { id, account, uname, app, permission: permission_of(permission)? })
    }
}

fn permission_of(id: i64) -> StorageResult<Permission> {
    Permission::from_id(id).ok_or(StorageError::Corrupt { what: "permission" })
}

#[async_trait]
impl GrantRepository for Transaction {
    async fn insert(&mut self, grant: &Grant) -> StorageResult<Option<GrantId>> {
        let Grant { account, uname, app, permission, .. } = grant;
        let id: Option<(i64,)> =
            self.connection.optional(INSERT, values![*account, *app, uname, permission.id()]).await?;
        Ok(id.map(|(id,)| id))
    }

    async fn find(&mut self, id: GrantId) -> StorageResult<Option<Grant>> {
        self.connection.optional::<GrantRow>(FIND, values![id]).await?.map(Grant::try_from).transpose()
    }

    async fn list(&mut self, app: Option<AppId>) -> StorageResult<Vec<Grant>> {
        let rows = self.connection.all::<GrantRow>(LIST, values![app.unwrap_or(0)]).await?;
        rows.into_iter().map(Grant::try_from).collect()
    }

    async fn strongest(
        &mut self,
        account: AccountId,
        app: Option<AppId>,
    ) -> StorageResult<Option<Permission>> {
        let (most,): (Option<i64>,) =
            self.connection.one(STRONGEST, values![account, app.unwrap_or(0)]).await?;
        most.map(permission_of).transpose()
    }

    async fn update(&mut self, id: GrantId, permission: Permission) -> StorageResult<bool> {
        Ok(self.connection.execute(UPDATE, values![id, permission.id()]).await? > 0)
    }

    async fn delete(&mut self, id: GrantId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
