//! Company repository: the table `company`.

use async_trait::async_trait;
use pilothouse_core::cdn::{Company, CompanyId, CompanyRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO company (name, alias, owner_id, owner_name) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING RETURNING id";
    BY_NAME = "SELECT * FROM company WHERE name = $1";
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
}
