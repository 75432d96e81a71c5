//! Order repository: the tables `task_content` and `file_order`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::ops::{
    BatchId, BlobRemoval, FileContent, FileOrder, MachineNumber, OrderAction, OrderRepository, OrderState,
    Phase, Sha256Digest, TaskId,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use super::task::task_id;
use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

/// Orders with an empty log, and their tasks.
macro_rules! without_log {
    () => {
        "SELECT file_order.task_id, file_order.machine, file_order.state, file_order.action, \
         file_order.is_forced, file_order.phase, file_order.percent, file_order.attempt, \
         file_order.tries, file_order.due, file_order.lease_until, file_order.deadline, \
         file_order.is_cancelling, file_order.instance, file_order.seq, file_order.old_sha256, \
         file_order.observed_sha256, file_order.message, file_order.plan, file_order.version, \
         '' AS log FROM task JOIN file_order ON file_order.task_id = task.task_id"
    };
}

statements! {
    INSERT_CONTENT = "INSERT INTO task_content (task_id, sha256, size, file_mode, file_owner, file_group, \
         expect_sha256, check_command, reload_command, confirm_seconds, not_before, deadline_seconds) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    INSERT = "INSERT INTO file_order (task_id, machine, state, action, is_forced, phase, percent, attempt, tries, due, \
         lease_until, deadline, is_cancelling, instance, seq, old_sha256, observed_sha256, message, log, plan, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, 1)";
    FIND_CONTENT = "SELECT * FROM task_content WHERE task_id = $1";
    FIND = "SELECT * FROM file_order WHERE task_id = $1";
    UPDATE = "UPDATE file_order SET machine = $2, state = $3, action = $4, is_forced = $5, phase = $6, percent = $7, \
         attempt = $8, tries = $9, due = $10, lease_until = $11, deadline = $12, is_cancelling = $13, instance = $14, \
         seq = $15, old_sha256 = $16, observed_sha256 = $17, message = $18, log = $19, plan = $20, \
         version = version + 1 WHERE task_id = $1 AND state = $21 AND attempt = $22 AND version = $23";
    NEXT_DUE = "SELECT * FROM file_order WHERE machine = $1 AND due <= $2 ORDER BY due, task_id LIMIT 1";
    HELD = "SELECT * FROM file_order WHERE machine = $1 AND (lease_until IS NOT NULL OR state = 'unknown') \
         ORDER BY task_id";
    OPEN = "SELECT * FROM file_order WHERE machine = $1 \
         AND state IN ('queued', 'running', 'reverting', 'unknown') ORDER BY task_id";
    LAPSED = "SELECT * FROM file_order WHERE lease_until <= $1 OR lease_until > $2 \
         OR (due IS NOT NULL AND deadline < $1) OR (due > $3 AND NOT EXISTS (SELECT 1 FROM task_content \
         WHERE task_content.task_id = file_order.task_id AND task_content.not_before = file_order.due)) \
         ORDER BY task_id LIMIT $4";
    OF_BATCH = concat!(without_log!(), " WHERE task.batch = $1 ORDER BY task.id");
    IN_STATE = concat!(without_log!(), " WHERE file_order.state = $1 ORDER BY task.id DESC LIMIT $2");
    NAMES_BLOB = "SELECT COUNT(*) FROM task_content WHERE sha256 = $1";
    BLOB_REMOVAL = "SELECT * FROM blob_removal WHERE sha256 = $1";
    SET_BLOB_REMOVAL = "INSERT INTO blob_removal (sha256, begun, is_over) VALUES ($1, $2, $3) \
         ON CONFLICT (sha256) DO UPDATE SET begun = excluded.begun, is_over = excluded.is_over";
    FORGET_BLOB_REMOVALS = "DELETE FROM blob_removal WHERE begun < $1";
}

fn named<T>(name: &str, what: &'static str, parse: impl Fn(&str) -> Option<T>) -> StorageResult<T> {
    parse(name).ok_or(StorageError::Corrupt { what })
}

fn sha256(row: &Row, column: &'static str) -> StorageResult<Option<Sha256Digest>> {
    let text: Option<String> = row.optional(column)?;
    text.map(|text| text.parse().map_err(|_| StorageError::Corrupt { what: column })).transpose()
}

impl FromRow for BlobRemoval {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            sha256: sha256(row, "sha256")?.ok_or(StorageError::Corrupt { what: "sha256" })?,
            begun: row.get("begun")?,
            is_over: row.get("is_over")?,
        })
    }
}

impl FromRow for FileContent {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            task_id: task_id(row)?,
            sha256: sha256(row, "sha256")?.ok_or(StorageError::Corrupt { what: "sha256" })?,
            size: row.get("size")?,
            mode: row.optional("file_mode")?,
            owner: row.optional("file_owner")?,
            group: row.optional("file_group")?,
            expect_sha256: sha256(row, "expect_sha256")?,
            check: row.optional("check_command")?,
            reload: row.optional("reload_command")?,
            confirm_seconds: row.get("confirm_seconds")?,
            not_before: row.optional("not_before")?,
            deadline_seconds: row.get("deadline_seconds")?,
        })
    }
}

impl FromRow for FileOrder {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let phase: Option<String> = row.optional("phase")?;
        Ok(Self {
            task_id: task_id(row)?,
            machine: row.optional("machine")?,
            state: named(&row.get::<String>("state")?, "state", OrderState::from_name)?,
            action: named(&row.get::<String>("action")?, "action", OrderAction::from_name)?,
            is_forced: row.get("is_forced")?,
            phase: phase.map(|phase| named(&phase, "phase", Phase::from_name)).transpose()?,
            percent: row.get("percent")?,
            attempt: row.get("attempt")?,
            tries: row.get("tries")?,
            due: row.optional("due")?,
            lease_until: row.optional("lease_until")?,
            deadline: row.optional("deadline")?,
            is_cancelling: row.get("is_cancelling")?,
            instance: row.get("instance")?,
            seq: row.get("seq")?,
            old_sha256: sha256(row, "old_sha256")?,
            observed_sha256: sha256(row, "observed_sha256")?,
            message: row.get("message")?,
            log: row.get("log")?,
            plan: row.get("plan")?,
            version: row.get("version")?,
        })
    }
}

/// Every column but the version, in the order of the statements.
fn columns(order: &FileOrder) -> [Value<'_>; 20] {
    [
        Value::from(&order.task_id.0.as_bytes()[..]),
        Value::from(order.machine),
        Value::from(order.state.as_str()),
        Value::from(order.action.as_str()),
        Value::from(order.is_forced),
        Value::from(order.phase.map(Phase::as_str)),
        Value::from(order.percent),
        Value::from(order.attempt),
        Value::from(order.tries),
        Value::from(order.due),
        Value::from(order.lease_until),
        Value::from(order.deadline),
        Value::from(order.is_cancelling),
        Value::from(&order.instance),
        Value::from(order.seq),
        Value::from(order.old_sha256.map(|digest| digest.to_string())),
        Value::from(order.observed_sha256.map(|digest| digest.to_string())),
        Value::from(&order.message),
        Value::from(&order.log),
        Value::from(&order.plan),
    ]
}

#[async_trait]
impl OrderRepository for Transaction {
    async fn insert(&mut self, content: &FileContent, machine: Option<MachineNumber>) -> StorageResult<()> {
        let values = values![
            &content.task_id.0.as_bytes()[..],
            content.sha256.to_string(),
            content.size,
            content.mode.as_ref(),
            content.owner.as_ref(),
            content.group.as_ref(),
            content.expect_sha256.map(|digest| digest.to_string()),
            content.check.as_ref(),
            content.reload.as_ref(),
            content.confirm_seconds,
            content.not_before,
            content.deadline_seconds,
        ];
        self.connection.execute(INSERT_CONTENT, values).await?;
        let pending = FileOrder { machine, ..FileOrder::pending(content.task_id) };
        self.connection.execute(INSERT, &columns(&pending)).await.map(|_| ())
    }

    async fn find_content(&mut self, task_id: TaskId) -> StorageResult<Option<FileContent>> {
        self.connection.optional(FIND_CONTENT, values![&task_id.0.as_bytes()[..]]).await
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<FileOrder>> {
        self.connection.optional(FIND, values![&task_id.0.as_bytes()[..]]).await
    }

    async fn update(&mut self, old: &FileOrder, new: &FileOrder) -> StorageResult<bool> {
        let mut values = columns(new).to_vec();
        values.extend([Value::from(old.state.as_str()), Value::from(old.attempt), Value::from(old.version)]);
        Ok(self.connection.execute(UPDATE, &values).await? > 0)
    }

    async fn next_due(
        &mut self,
        machine: MachineNumber,
        now: DateTime<Utc>,
    ) -> StorageResult<Option<FileOrder>> {
        self.connection.optional(NEXT_DUE, values![machine, now]).await
    }

    async fn held(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>> {
        self.connection.all(HELD, values![machine]).await
    }

    async fn open(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>> {
        self.connection.all(OPEN, values![machine]).await
    }

    async fn lapsed(
        &mut self,
        now: DateTime<Utc>,
        lease: Lease,
        latest: DateTime<Utc>,
        count: i64,
    ) -> StorageResult<Vec<FileOrder>> {
        self.connection.all(LAPSED, values![now, lease.latest_end(now), latest, count]).await
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<FileOrder>> {
        self.connection.all(OF_BATCH, values![&batch.0.as_bytes()[..]]).await
    }

    async fn in_state(&mut self, state: OrderState, count: i64) -> StorageResult<Vec<FileOrder>> {
        self.connection.all(IN_STATE, values![state.as_str(), count]).await
    }

    async fn names_blob(&mut self, sha256: Sha256Digest) -> StorageResult<bool> {
        Ok(self.connection.one::<i64>(NAMES_BLOB, values![sha256.to_string()]).await? > 0)
    }

    async fn blob_removal(&mut self, sha256: Sha256Digest) -> StorageResult<Option<BlobRemoval>> {
        self.connection.optional(BLOB_REMOVAL, values![sha256.to_string()]).await
    }

    async fn set_blob_removal(&mut self, removal: &BlobRemoval) -> StorageResult<()> {
        let values = values![removal.sha256.to_string(), removal.begun, removal.is_over];
        self.connection.execute(SET_BLOB_REMOVAL, values).await.map(|_| ())
    }

    async fn forget_blob_removals(&mut self, before: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(FORGET_BLOB_REMOVALS, values![before]).await.map(|_| ())
    }
}
