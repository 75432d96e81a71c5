//! Audit repository: the append-only table `audit`.

use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, AuditRepository, AuditRow};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    APPEND = "INSERT INTO audit (at, actor, actor_name, address, action, object, old_digest, new_digest, count) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    APPEND_ALL =
        "INSERT INTO audit (at, actor, actor_name, address, action, object, old_digest, new_digest, count)";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    let condition = "($3 IS NULL OR actor_name = $3) AND ($4 IS NULL OR object = $4) \
         AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6)";
    ListStatements::new(concat!(module_path!(), "::LIST"), ("*", "audit", "id"), condition, 4)
});

impl FromRow for AuditRow {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            at: row.get("at")?,
            actor: row.optional("actor")?,
            actor_name: row.get("actor_name")?,
            address: row.optional("address")?,
            action: row.get("action")?,
            object: row.get("object")?,
            old: row.optional("old_digest")?,
            new: row.optional("new_digest")?,
            count: row.get("count")?,
        })
    }
}

/// Every column but the id, in the order of the statements.
fn columns(row: &AuditRow) -> [Value<'_>; 9] {
    [
        Value::from(row.at),
        Value::from(row.actor),
        Value::from(&row.actor_name),
        Value::from(row.address),
        Value::from(&row.action),
        Value::from(&row.object),
        Value::from(row.old.as_ref()),
        Value::from(row.new.as_ref()),
        Value::from(row.count),
    ]
}

#[async_trait]
impl AuditRepository for Transaction {
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()> {
        self.connection.execute(APPEND, &columns(row)).await.map(|_| ())
    }

    async fn append_all(&mut self, rows: &[AuditRow]) -> StorageResult<()> {
        let values: Vec<Value<'_>> = rows.iter().flat_map(columns).collect();
        self.connection.execute_rows(APPEND_ALL, "", 9, &values).await.map(|_| ())
    }

    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>> {
        let AuditFilter { actor, object, since, until } = filter;
        let (actor, object) = (actor.as_ref(), object.as_ref());
        let values = values![page.start, page.before, actor, object, *since, *until, page.count];
        self.connection.all(LIST.page(page.order), values).await
    }

    async fn count(&mut self, filter: &AuditFilter) -> StorageResult<u64> {
        let AuditFilter { actor, object, since, until } = filter;
        let values = values![0, i64::MAX, actor.as_ref(), object.as_ref(), *since, *until];
        self.connection.count(LIST.count(), values).await
    }
}
