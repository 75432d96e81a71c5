//! Vendor batch repository: the table `vendor_batch`.

use async_trait::async_trait;
use pilothouse_core::cdn::{BatchItem, BatchState, VendorBatch, VendorBatchRepository};
use pilothouse_core::ports::{Operation, StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO vendor_batch (id, cdn, operation, host_group, state, accepted, due, tries, items, jobs) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING";
    UPDATE = "UPDATE vendor_batch SET operation = $2, host_group = $3, state = $4, accepted = $5, due = $6, \
         tries = $7, items = $8, jobs = $9 WHERE id = $1";
    REMOVE = "DELETE FROM vendor_batch WHERE id = $1";
    LIST = "SELECT * FROM vendor_batch WHERE cdn = $1 ORDER BY accepted, id";
}

impl FromRow for VendorBatch {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let operation = Operation::from_id(row.get("operation")?);
        let state = BatchState::from_id(row.get("state")?);
        let items: String = row.get("items")?;
        let jobs: String = row.get("jobs")?;
        Ok(Self {
            id: row.get("id")?,
            cdn: row.get("cdn")?,
            operation: operation.ok_or(StorageError::Corrupt { what: "operation of a batch" })?,
            group: row.get("host_group")?,
            state: state.ok_or(StorageError::Corrupt { what: "state of a batch" })?,
            accepted_at: row.get("accepted")?,
            due: row.get("due")?,
            tries: row.get("tries")?,
            items: BatchItem::decode(&items).ok_or(StorageError::Corrupt { what: "items of a batch" })?,
            jobs: jobs.split('|').map(str::to_owned).collect(),
        })
    }
}

#[async_trait]
impl VendorBatchRepository for Transaction {
    async fn insert(&mut self, batch: &VendorBatch) -> StorageResult<bool> {
        let VendorBatch { id, cdn, group, .. } = batch;
        let &VendorBatch { operation, state, accepted_at, due, tries, .. } = batch;
        let (items, jobs) = (BatchItem::encode(&batch.items), batch.jobs.join("|"));
        let values =
            values![id, cdn, operation.id(), group, state.id(), accepted_at, due, tries, items, jobs];
        Ok(self.connection.execute(INSERT, values).await? > 0)
    }

    async fn update(&mut self, batch: &VendorBatch) -> StorageResult<bool> {
        let VendorBatch { id, group, .. } = batch;
        let &VendorBatch { operation, state, accepted_at, due, tries, .. } = batch;
        let (items, jobs) = (BatchItem::encode(&batch.items), batch.jobs.join("|"));
        let values = values![id, operation.id(), group, state.id(), accepted_at, due, tries, items, jobs];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn remove(&mut self, id: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(REMOVE, values![id]).await? > 0)
    }

    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<VendorBatch>> {
        self.connection.all(LIST, values![cdn]).await
    }
}
