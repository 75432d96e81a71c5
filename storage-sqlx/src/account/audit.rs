//! The audit trail.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, AuditRepository, AuditRow};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{address, time, values};

const APPEND: &str = "INSERT INTO audit (at, actor, actor_name, address, action, object, old_digest, new_digest, count) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const LIST: &str = "SELECT * FROM audit WHERE id >= $1 AND ($3 IS NULL OR actor_name = $3) \
     AND ($4 IS NULL OR object = $4) AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6) ORDER BY id LIMIT $2";

#[derive(FromRow)]
struct Row {
    id: i64,
    at: i64,
    actor: Option<i64>,
    actor_name: String,
    address: Option<String>,
    action: String,
    object: String,
    old_digest: Option<String>,
    new_digest: Option<String>,
    count: i64,
}

impl TryFrom<Row> for AuditRow {
    type Error = StorageError;

    fn try_from(row: Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.id,
            at: time(row.at)?,
            actor: row.actor,
            actor_name: row.actor_name,
            address: row.address.as_deref().map(address).transpose()?,
            action: row.action,
            object: row.object,
            old: row.old_digest,
            new: row.new_digest,
            count: row.count,
        })
    }
}

#[async_trait]
impl AuditRepository for Transaction {
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()> {
        let AuditRow { at, actor, actor_name, address, action, object, old, new, count, .. } = row;
        let values =
            values![*at, *actor, actor_name, *address, action, object, old.as_ref(), new.as_ref(), *count];
        self.connection.execute(APPEND, values).await.map(|_| ())
    }

    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>> {
        let AuditFilter { actor, object, since, until } = filter;
        let values = values![page.start, page.count, actor.as_ref(), object.as_ref(), *since, *until];
        self.connection.all::<Row>(LIST, values).await?.into_iter().map(AuditRow::try_from).collect()
    }
}
