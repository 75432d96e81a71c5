//! Accounts.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{Account, AccountId, AccountRepository, Group, Groups};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str = "INSERT INTO account (name, mail, mail_key, department, permission_bits, password, version) \
     VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT DO NOTHING RETURNING id";
const BY_ID: &str = "SELECT * FROM account WHERE id = $1";
const BY_NAME: &str = "SELECT * FROM account WHERE name = $1";
const BY_MAIL: &str = "SELECT * FROM account WHERE mail_key = $1";
const LIST: &str = "SELECT * FROM account WHERE id >= $1 ORDER BY id LIMIT $2";
const COUNT_HOLDING: &str = "SELECT COUNT(*) FROM account WHERE permission_bits & $1 <> 0";
const UPDATE: &str = "UPDATE account SET department = $1, permission_bits = $2, password = $3, version = version + 1 \
     WHERE id = $4 AND version = $5";
const DELETE: &str = "DELETE FROM account WHERE id = $1";

/// A row of `account`.
#[derive(FromRow)]
pub(super) struct AccountRow {
    id: i64,
    name: String,
    mail: String,
    department: String,
    permission_bits: i64,
    password: Option<String>,
    version: i64,
}

impl TryFrom<AccountRow> for Account {
    type Error = StorageError;

    fn try_from(row: AccountRow) -> StorageResult<Self> {
        let AccountRow { id, name, mail, department, permission_bits, password, version } = row;
        let groups =
            Groups::from_bits(permission_bits).ok_or(StorageError::Corrupt { what: "permission" })?;
        Ok(Self { id, name, mail, department, groups, password, version })
    }
}

#[async_trait]
impl AccountRepository for Transaction {
    async fn insert(&mut self, account: &Account) -> StorageResult<Option<AccountId>> {
        let Account { name, mail, department, groups, password, .. } = account;
        let values = values![name, mail, mail.to_lowercase(), department, groups.bits(), password.as_ref()];
        let id: Option<(i64,)> = self.connection.optional(INSERT, values).await?;
        Ok(id.map(|(id,)| id))
    }

    async fn by_id(&mut self, id: AccountId) -> StorageResult<Option<Account>> {
        self.connection.optional::<AccountRow>(BY_ID, values![id]).await?.map(Account::try_from).transpose()
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Account>> {
        self.connection
            .optional::<AccountRow>(BY_NAME, values![name])
            .await?
            .map(Account::try_from)
            .transpose()
    }

    async fn by_mail(&mut self, mail: &str) -> StorageResult<Option<Account>> {
        let found = self.connection.optional::<AccountRow>(BY_MAIL, values![mail.to_lowercase()]).await?;
        found.map(Account::try_from).transpose()
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Account>> {
        let rows = self.connection.all::<AccountRow>(LIST, values![page.start, page.count]).await?;
        rows.into_iter().map(Account::try_from).collect()
    }

    async fn count_holding(&mut self, group: Group) -> StorageResult<u64> {
        let bits = Groups::from_iter([group]).bits();
        let (count,): (i64,) = self.connection.one(COUNT_HOLDING, values![bits]).await?;
        Ok(count.unsigned_abs())
    }

    async fn update(&mut self, account: &Account) -> StorageResult<bool> {
        let Account { id, department, groups, password, version, .. } = account;
        let values = values![department, groups.bits(), password.as_ref(), *id, *version];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, id: AccountId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
