//! Batch repository: the table `batch`.

use async_trait::async_trait;
use pilothouse_core::ops::{Batch, BatchId, BatchLimits, BatchNumber, BatchRepository, BatchState, OnStop};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO batch (batch_id, create_time, state, canary, batch_size, max_failures, on_stop, forgiven, \
         is_forced, begun, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)";
    FIND = "SELECT * FROM batch WHERE batch_id = $1";
    UPDATE = "UPDATE batch SET state = $2, canary = $3, batch_size = $4, max_failures = $5, on_stop = $6, \
         forgiven = $7, is_forced = $8, begun = $9, version = version + 1 WHERE batch_id = $1 AND version = $10";
    ACTIVE = "SELECT * FROM batch WHERE state IN ('running', 'reverting') ORDER BY id";
    IN_STATE = "SELECT * FROM batch WHERE state = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    DELETE = "DELETE FROM batch WHERE batch_id = $1";
}

impl FromRow for Batch {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state = BatchState::from_name(&row.get::<String>("state")?);
        let on_stop = OnStop::from_name(&row.get::<String>("on_stop")?);
        Ok(Self {
            id: row.get("id")?,
            batch_id: BatchId(uuid::Uuid::from_bytes(row.get("batch_id")?)),
            create_time: row.get("create_time")?,
            state: state.ok_or(StorageError::Corrupt { what: "state" })?,
            limits: BatchLimits {
                canary: row.get("canary")?,
                batch_size: row.get("batch_size")?,
                max_failures: row.get("max_failures")?,
                on_stop: on_stop.ok_or(StorageError::Corrupt { what: "on_stop" })?,
            },
            forgiven: row.get("forgiven")?,
            is_forced: row.get("is_forced")?,
            begun: row.optional("begun")?,
            version: row.get("version")?,
        })
    }
}

#[async_trait]
impl BatchRepository for Transaction {
    async fn insert(&mut self, batch: &Batch) -> StorageResult<()> {
        let BatchLimits { canary, batch_size, max_failures, on_stop } = batch.limits;
        let values = values![
            &batch.batch_id.0.as_bytes()[..],
            batch.create_time,
            batch.state.as_str(),
            canary,
            batch_size,
            max_failures,
            on_stop.as_str(),
            batch.forgiven,
            batch.is_forced,
            batch.begun,
        ];
        self.connection.execute(INSERT, values).await.map(|_| ())
    }

    async fn find(&mut self, batch_id: BatchId) -> StorageResult<Option<Batch>> {
        self.connection.optional(FIND, values![&batch_id.0.as_bytes()[..]]).await
    }

    async fn update(&mut self, batch: &Batch) -> StorageResult<bool> {
        let BatchLimits { canary, batch_size, max_failures, on_stop } = batch.limits;
        let values = values![
            &batch.batch_id.0.as_bytes()[..],
            batch.state.as_str(),
            canary,
            batch_size,
            max_failures,
            on_stop.as_str(),
            batch.forgiven,
            batch.is_forced,
            batch.begun,
            batch.version,
        ];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn active(&mut self) -> StorageResult<Vec<Batch>> {
        self.connection.all(ACTIVE, values![]).await
    }

    async fn in_state(
        &mut self,
        state: BatchState,
        before: BatchNumber,
        count: i64,
    ) -> StorageResult<Vec<Batch>> {
        self.connection.all(IN_STATE, values![state.as_str(), before, count]).await
    }

    async fn delete(&mut self, batch_id: BatchId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![&batch_id.0.as_bytes()[..]]).await? > 0)
    }
}
