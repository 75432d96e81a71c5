//! Companies.

use async_trait::async_trait;
use pilothouse_core::cdn::{Company, CompanyRepository};
use pilothouse_core::ports::StorageResult;
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str = "INSERT INTO company (name, alias, owner_id) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING RETURNING id";
const BY_NAME: &str = "SELECT * FROM company WHERE name = $1";

#[derive(FromRow)]
struct CompanyRow {
    id: i64,
    name: String,
    alias: String,
    owner_id: Option<i64>,
}

impl From<CompanyRow> for Company {
    fn from(CompanyRow { id, name, alias, owner_id }: CompanyRow) -> Self {
        Self { id, name, alias, owner_id }
    }
}

#[async_trait]
impl CompanyRepository for Transaction {
    async fn insert(&mut self, company: &Company) -> StorageResult<Option<i64>> {
        let Company { name, alias, owner_id, .. } = company;
        let id: Option<(i64,)> = self.connection.optional(INSERT, values![name, alias, *owner_id]).await?;
        Ok(id.map(|(id,)| id))
    }

    async fn by_name(&mut self, name: &str) -> StorageResult<Option<Company>> {
        Ok(self.connection.optional::<CompanyRow>(BY_NAME, values![name]).await?.map(Company::from))
    }
}
