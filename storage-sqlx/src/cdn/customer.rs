//! Customers.

use async_trait::async_trait;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Cdn, CdnId, Customer, CustomerRepository};
use pilothouse_core::ports::StorageResult;
use sqlx::FromRow;

use super::cdn::CdnRow;
use crate::storage::Transaction;
use crate::value::values;

const INSERT: &str = "INSERT INTO customer (account_id, password, operations, version) VALUES ($1, $2, $3, 1) \
     ON CONFLICT DO NOTHING";
const FIND: &str = "SELECT customer.*, account.mail FROM customer JOIN account ON account.id = account_id \
     WHERE account_id = $1";
const UPDATE: &str = "UPDATE customer SET password = $1, operations = $2, version = version + 1 \
     WHERE account_id = $3 AND version = $4";
const DELETE: &str = "DELETE FROM customer WHERE account_id = $1";
const CDNS: &str =
    "SELECT id, name FROM cdn JOIN customer_cdn ON cdn_id = id WHERE account_id = $1 ORDER BY id";
const MAP: &str = "INSERT INTO customer_cdn (account_id, cdn_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";

#[derive(FromRow)]
struct CustomerRow {
    account_id: i64,
    mail: String,
    password: String,
    operations: bool,
    version: i64,
}

impl From<CustomerRow> for Customer {
    fn from(row: CustomerRow) -> Self {
        let CustomerRow { account_id, mail, password, operations, version } = row;
        Self { account_id, mail, password, operations, version }
    }
}

#[async_trait]
impl CustomerRepository for Transaction {
    async fn insert(&mut self, customer: &Customer) -> StorageResult<bool> {
        let Customer { account_id, password, operations, .. } = customer;
        Ok(self.connection.execute(INSERT, values![*account_id, password, *operations]).await? > 0)
    }

    async fn find(&mut self, account_id: AccountId) -> StorageResult<Option<Customer>> {
        let found = self.connection.optional::<CustomerRow>(FIND, values![account_id]).await?;
        Ok(found.map(Customer::from))
    }

    async fn update(&mut self, customer: &Customer) -> StorageResult<bool> {
        let Customer { account_id, password, operations, version, .. } = customer;
        let values = values![password, *operations, *account_id, *version];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, account_id: AccountId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![account_id]).await? > 0)
    }

    async fn cdns(&mut self, account_id: AccountId) -> StorageResult<Vec<Cdn>> {
        let rows = self.connection.all::<CdnRow>(CDNS, values![account_id]).await?;
        Ok(rows.into_iter().map(Cdn::from).collect())
    }

    async fn map(&mut self, account_id: AccountId, cdn_id: CdnId) -> StorageResult<()> {
        self.connection.execute(MAP, values![account_id, cdn_id]).await.map(|_| ())
    }
}
