//! Company repository: the table `company`.

use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::cdn::{Company, CompanyId, CompanyOverview, CompanyRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO company (name, alias, owner_id, owner_name) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING RETURNING id";
    BY_NAME = "SELECT * FROM company WHERE name = $1";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    let from = "company LEFT JOIN account ON account.id = company.owner_id";
    let columns = "company.*, account.name AS account, account.mail";
    let name = concat!(module_path!(), "::LIST");
    ListStatements::new(name, (columns, from, "company.id"), "TRUE", 0)
});

impl FromRow for CompanyOverview {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let company = Company::from_row(row)?;
        Ok(Self { company, account: row.optional("account")?, mail: row.optional("mail")? })
    }
}

impl FromRow for Company {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            alias: row.get("alias")?,
            owner_id: row.optional("owner_id")?,
            owner_name: row.get("owner_name")?,
        })
    }
}

#[async_trait]
impl CompanyRepository for Transaction {
    async fn insert(&mut self, company: &Company) -> StorageResult<Option<CompanyId>> {
        let Company { name, alias, owner_id, owner_name, .. } = company;
        self.connection.optional(INSERT, values![name, alias, *owner_id, owner_name]).await
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Company>> {
        self.connection.optional(BY_NAME, values![name]).await
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<CompanyOverview>> {
        let values = values![page.start, page.before, page.count];
        self.connection.all(LIST.page(page.order), values).await
    }

    async fn count(&mut self) -> StorageResult<u64> {
        self.connection.count(LIST.count(), values![0, i64::MAX]).await
    }
}
