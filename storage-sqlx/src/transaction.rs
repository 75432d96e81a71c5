//! Snapshots and write transactions, with the repositories of every aggregate.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ports::{LockKey, StorageError, StorageResult, UnitOfWork};
use tokio::sync::OwnedRwLockReadGuard;

use crate::connection::Connection;
use crate::statement::statements;
use crate::storage::SqlxStorage;
use crate::value::values;

statements! {
    pub(crate) LOCK = "SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) AS locked";
    /// Microseconds since 1970.
    pub(crate) NOW = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
}

/// Snapshot or write transaction of a store.
pub(crate) struct Transaction {
    pub(crate) connection: Connection,
    /// `None` for a snapshot.
    writing: Option<Writing>,
}

/// Store of a write transaction, which is not closed before the transaction ends.
struct Writing {
    storage: SqlxStorage,
    _open: OwnedRwLockReadGuard<()>,
}

impl Transaction {
    pub(crate) fn read(connection: Connection) -> Self {
        Self { connection, writing: None }
    }

    pub(crate) fn write(
        connection: Connection,
        storage: SqlxStorage,
        open: OwnedRwLockReadGuard<()>,
    ) -> Self {
        Self { connection, writing: Some(Writing { storage, _open: open }) }
    }
}

#[async_trait]
impl UnitOfWork for Transaction {
    async fn lock(&mut self, key: LockKey) -> StorageResult<()> {
        if self.connection.has_concurrent_writers() {
            self.connection.execute(LOCK, values![lock_number(key)]).await?;
        }
        Ok(())
    }

    async fn now(&mut self) -> StorageResult<DateTime<Utc>> {
        let writing = self.writing.as_ref().ok_or(StorageError::ReadOnly)?;
        if self.connection.has_concurrent_writers() {
            return self.connection.one(NOW, values![]).await;
        }
        Ok(writing.storage.local_time())
    }

    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let writing = self.writing.ok_or(StorageError::ReadOnly)?;
        writing.storage.commit(self.connection).await
    }

    async fn commit_relaxed(self: Box<Self>) -> StorageResult<()> {
        self.connection.commit().await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        self.connection.rollback().await;
        Ok(())
    }
}

/// A number that no other program on the database is likely to lock: a mark of ours, the kind, and the row.
pub(crate) fn lock_number(key: LockKey) -> i64 {
    const MARK: i64 = 0x5048 << 48;
    let (kind, row) = match key {
        LockKey::Accounts => (1, 0),
        LockKey::Customer(account_id) => (3, account_id.0),
        LockKey::Cdns => (4, 0),
        LockKey::Traffic => (5, 0),
        LockKey::Pruning => (6, 0),
        LockKey::App(id) => (2, id.0),
        LockKey::Machines => (7, 0),
        LockKey::Events => (8, 0),
        LockKey::Blobs => (9, 0),
        LockKey::Alarms => (10, 0),
    };
    MARK | (kind << 40) | (row & 0xff_ffff_ffff)
}
