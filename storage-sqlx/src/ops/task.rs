//! Repository of release tasks: the tables `task` and `task_status`.

use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{
    BatchId, Revert, Status, Task, TaskFilter, TaskId, TaskNumber, TaskRepository, TaskStatus, TaskView,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    INSERT = "INSERT INTO task (task_id, ip, action, create_time, content, description, batch) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    INSERT_STATUS = "INSERT INTO task_status \
         (task_id, start_time, revert_time, status, percent, revert, version) VALUES ($1, 0, 0, 0, 0, 0, 1)";
    FIND = "SELECT * FROM task WHERE task_id = $1";
    DELETE = "DELETE FROM task WHERE task_id = $1";
    FIND_STATUS = "SELECT task.id, task_status.task_id, start_time, revert_time, status, percent, revert, version \
         FROM task_status JOIN task ON task.task_id = task_status.task_id WHERE task_status.task_id = $1";
    NTH_BEFORE = "SELECT id FROM task WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";
    UPDATE_STATUS = "UPDATE task_status SET start_time = $1, revert_time = $2, status = $3, percent = $4, \
         revert = $5, version = version + 1 WHERE task_id = $6 AND version = $7";
}

/// Lists of tasks, and of tasks with their statuses, by the filter that leads to their rows.
///
/// Each filter has an index of its own, in the order of the list. The others are written so that no index is used for
/// them: a planner that took the wrong one would read a million rows for a page.
static LISTS: LazyLock<[[ListStatements; 2]; 6]> = LazyLock::new(|| {
    let ip = ["task.ip = $3", "($3 IS NULL OR task.ip || '' = $3)"];
    let outcome = ["task.outcome = $4", "($4 IS NULL OR task.outcome + 0 = $4)"];
    let action = ["task.action = $5", "($5 IS NULL OR task.action || '' = $5)"];
    let text =
        "($6 IS NULL OR REPLACE(content, $6, '') <> content OR REPLACE(description, $6, '') <> description)";
    let joined = "task JOIN task_status ON task_status.task_id = task.task_id";
    let columns = "task.*, start_time, revert_time, status, percent, revert, version";
    let batch = ["task.batch = $7", "$7 IS NULL"];
    let lists = |by_ip: bool, by_outcome: bool, by_action: bool, by_batch: bool| {
        let [ip, outcome, action, batch] =
            [(ip, by_ip), (outcome, by_outcome), (action, by_action), (batch, by_batch)]
                .map(|(pair, leads)| pair[usize::from(!leads)]);
        let condition = format!("{ip} AND {outcome} AND {action} AND {text} AND {batch}");
        [("*", "task"), (columns, joined)].map(|(what, from)| {
            let name = concat!(module_path!(), "::LISTS");
            ListStatements::new(name, (what, from, "task.id"), &condition, 5)
        })
    };
    [
        lists(false, false, false, false),
        lists(true, false, false, false),
        lists(false, true, false, false),
        lists(false, false, true, false),
        lists(false, true, true, false),
        lists(false, false, false, true),
    ]
});

/// The statements that lead to what passes a filter: of tasks, and of tasks with their statuses.
fn lists(filter: &TaskFilter) -> &'static [ListStatements; 2] {
    let index = match filter {
        TaskFilter { batch: Some(_), .. } => 5,
        TaskFilter { ip: Some(_), .. } => 1,
        TaskFilter { outcome: Some(_), action: None, .. } => 2,
        TaskFilter { outcome: None, action: Some(_), .. } => 3,
        TaskFilter { outcome: Some(_), action: Some(_), .. } => 4,
        TaskFilter { outcome: None, action: None, .. } => 0,
    };
    &LISTS[index]
}

/// Parameters of a list: its bounds, the filter, and the most rows of a page.
fn filtered(filter: &TaskFilter, start: i64, before: i64, most: Option<i64>) -> Vec<Value<'_>> {
    let TaskFilter { ip, outcome, action, text, batch } = filter;
    let batch = batch.as_ref().map(|batch| &batch.0.as_bytes()[..]);
    let outcome = outcome.map(Status::id);
    let mut values = values![start, before, *ip, outcome, action.as_ref(), text.as_ref(), batch].to_vec();
    values.extend(most.map(Value::from));
    values
}

impl FromRow for TaskView {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { task: Task::from_row(row)?, status: TaskStatus::from_row(row)? })
    }
}

impl FromRow for Task {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            task_id: task_id(row)?,
            ip: row.get("ip")?,
            action: row.get("action")?,
            create_time: row.get("create_time")?,
            content: row.get("content")?,
            description: row.get("description")?,
            batch: row.optional("batch")?.map(|bytes| BatchId(uuid::Uuid::from_bytes(bytes))),
        })
    }
}

impl FromRow for TaskStatus {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let status = Status::from_id(row.get("status")?);
        let revert = Revert::from_id(row.get("revert")?);
        Ok(Self {
            id: row.get("id")?,
            task_id: task_id(row)?,
            start_time: row.get("start_time")?,
            revert_time: row.get("revert_time")?,
            status: status.ok_or(StorageError::Corrupt { what: "status" })?,
            percent: row.get("percent")?,
            revert: revert.ok_or(StorageError::Corrupt { what: "revert" })?,
            version: row.get("version")?,
        })
    }
}

pub(super) fn task_id(row: &Row) -> StorageResult<TaskId> {
    Ok(TaskId(uuid::Uuid::from_bytes(row.get("task_id")?)))
}

#[async_trait]
impl TaskRepository for Transaction {
    async fn insert(&mut self, task: &Task) -> StorageResult<()> {
        let Task { task_id, ip, action, create_time, content, description, batch, .. } = task;
        let id = &task_id.0.as_bytes()[..];
        let batch = batch.as_ref().map(|batch| &batch.0.as_bytes()[..]);
        let values = values![id, *ip, action, *create_time, content, description, batch];
        self.connection.execute(INSERT, values).await?;
        self.connection.execute(INSERT_STATUS, values![id]).await.map(|_| ())
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>> {
        self.connection.optional(FIND, values![&task_id.0.as_bytes()[..]]).await
    }

    async fn list(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<Task>> {
        self.connection
            .all(
                lists(filter)[0].page(page.order),
                &filtered(filter, page.start, page.before, Some(page.count)),
            )
            .await
    }

    async fn list_views(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<TaskView>> {
        self.connection
            .all(
                lists(filter)[1].page(page.order),
                &filtered(filter, page.start, page.before, Some(page.count)),
            )
            .await
    }

    async fn count(&mut self, filter: &TaskFilter, start: i64, before: i64) -> StorageResult<u64> {
        self.connection.count(lists(filter)[0].count(), &filtered(filter, start, before, None)).await
    }

    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<TaskNumber>> {
        self.connection.optional(NTH_BEFORE, values![before, n - 1]).await
    }

    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![&task_id.0.as_bytes()[..]]).await? > 0)
    }

    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>> {
        self.connection.optional(FIND_STATUS, values![&task_id.0.as_bytes()[..]]).await
    }

    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool> {
        let &TaskStatus { task_id, start_time, revert_time, status, percent, revert, version, .. } = status;
        let values = values![
            start_time,
            revert_time,
            status.id(),
            percent,
            revert.id(),
            &task_id.0.as_bytes()[..],
            version
        ];
        Ok(self.connection.execute(UPDATE_STATUS, values).await? > 0)
    }
}
