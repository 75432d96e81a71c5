//! Vendor spending repository: the table `vendor_spending`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{VendorSpending, VendorSpendingRepository};
use pilothouse_core::ports::{Operation, StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    SPEND = "INSERT INTO vendor_spending (cdn, operation, pool, resets_at, account_id, items) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cdn, operation, pool, resets_at, account_id) \
         DO UPDATE SET items = vendor_spending.items + excluded.items";
    OF_CDN = "SELECT * FROM vendor_spending WHERE cdn = $1 ORDER BY operation, pool, resets_at, account_id";
    FORGET = "DELETE FROM vendor_spending WHERE cdn = $1 AND resets_at < $2";
}

impl FromRow for VendorSpending {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let operation = Operation::from_id(row.get("operation")?);
        Ok(Self {
            cdn: row.get("cdn")?,
            operation: operation.ok_or(StorageError::Corrupt { what: "operation of a quota" })?,
            pool: row.get("pool")?,
            account_id: row.get("account_id")?,
            resets_at: row.get("resets_at")?,
            items: row.get("items")?,
        })
    }
}

#[async_trait]
impl VendorSpendingRepository for Transaction {
    async fn spend(&mut self, spending: &VendorSpending) -> StorageResult<()> {
        let VendorSpending { cdn, pool, .. } = spending;
        let &VendorSpending { operation, account_id, resets_at, items, .. } = spending;
        let values = values![cdn, operation.id(), pool, resets_at, account_id, items];
        self.connection.execute(SPEND, values).await.map(|_| ())
    }

    async fn of_cdn(&mut self, cdn: &str) -> StorageResult<Vec<VendorSpending>> {
        self.connection.all(OF_CDN, values![cdn]).await
    }

    async fn forget(&mut self, cdn: &str, before: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(FORGET, values![cdn, before]).await.map(|_| ())
    }
}
