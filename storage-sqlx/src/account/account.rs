//! Account repository: the table `account`.

use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{Account, AccountId, AccountRepository, Group, Groups};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO account (name, mail, mail_key, department, permission_bits, password, is_disabled, \
         version) VALUES ($1, $2, $3, $4, $5, $6, $7, 1) ON CONFLICT DO NOTHING RETURNING id";
    BY_ID = "SELECT * FROM account WHERE id = $1";
    BY_NAME = "SELECT * FROM account WHERE name = $1";
    BY_MAIL = "SELECT * FROM account WHERE mail_key = $1";
    NAMES = "SELECT name FROM account";
    COUNT_HOLDING = "SELECT COUNT(*) FROM account WHERE permission_bits & $1 <> 0 AND NOT is_disabled";
    UPDATE = "UPDATE account SET department = $1, permission_bits = $2, password = $3, is_disabled = $4, \
         version = version + 1 WHERE id = $5 AND version = $6";
    DELETE = "DELETE FROM account WHERE id = $1";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    ListStatements::new(
        concat!(module_path!(), "::LIST"),
        ("*", "account", "id"),
        "($3 IS NULL OR is_disabled = ($3 = 1))",
        1,
    )
});

impl FromRow for Account {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let groups = Groups::from_bits(row.get("permission_bits")?);
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            mail: row.get("mail")?,
            department: row.get("department")?,
            groups: groups.ok_or(StorageError::Corrupt { what: "permission" })?,
            password: row.optional("password")?,
            is_disabled: row.get("is_disabled")?,
            version: row.get("version")?,
        })
    }
}

#[async_trait]
impl AccountRepository for Transaction {
    async fn insert(&mut self, account: &Account) -> StorageResult<Option<AccountId>> {
        let Account { name, mail, department, groups, password, is_disabled, .. } = account;
        let key = mail.to_lowercase();
        let values = values![name, mail, key, department, groups.bits(), password.as_ref(), *is_disabled];
        self.connection.optional(INSERT, values).await
    }

    async fn by_id(&mut self, id: AccountId) -> StorageResult<Option<Account>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Account>> {
        self.connection.optional(BY_NAME, values![name]).await
    }

    async fn by_mail(&mut self, mail: &str) -> StorageResult<Option<Account>> {
        self.connection.optional(BY_MAIL, values![mail.to_lowercase()]).await
    }

    async fn names(&mut self) -> StorageResult<Vec<String>> {
        self.connection.all(NAMES, values![]).await
    }

    async fn list(&mut self, is_disabled: Option<bool>, page: Page) -> StorageResult<Vec<Account>> {
        let is_disabled = is_disabled.map(i64::from);
        let values = values![page.start, page.before, is_disabled, page.count];
        self.connection.all(LIST.page(page.order), values).await
    }

    async fn count(&mut self, is_disabled: Option<bool>) -> StorageResult<u64> {
        self.connection.count(LIST.count(), values![0, i64::MAX, is_disabled.map(i64::from)]).await
    }

    async fn count_holding(&mut self, group: Group) -> StorageResult<u64> {
        let bits = Groups::from_iter([group]).bits();
        self.connection.count(COUNT_HOLDING, values![bits]).await
    }

    async fn update(&mut self, account: &Account) -> StorageResult<bool> {
        let Account { id, department, groups, password, is_disabled, version, .. } = account;
        let values = values![department, groups.bits(), password.as_ref(), *is_disabled, *id, *version];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, id: AccountId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }
}
