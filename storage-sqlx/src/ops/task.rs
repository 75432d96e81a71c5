//! Release tasks and their status.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{Revert, Status, Task, TaskId, TaskRepository, TaskStatus};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{address, array, time, values};

const INSERT: &str = "INSERT INTO task (task_id, ip, action, create_time, content, description) \
     VALUES ($1, $2, $3, $4, $5, $6)";
const INSERT_STATUS: &str = "INSERT INTO task_status \
     (task_id, start_time, revert_time, status, percent, revert, version) VALUES ($1, 0, 0, 0, 0, 0, 1)";
const FIND: &str = "SELECT * FROM task WHERE task_id = $1";
const LIST: &str = "SELECT * FROM task WHERE id >= $1 ORDER BY id LIMIT $2";
const DELETE: &str = "DELETE FROM task WHERE task_id = $1";
const FIND_STATUS: &str = "SELECT * FROM task_status WHERE task_id = $1";
const LIST_STATUSES: &str = "SELECT * FROM task_status WHERE id >= $1 ORDER BY id LIMIT $2";
const UPDATE_STATUS: &str = "UPDATE task_status SET start_time = $1, revert_time = $2, status = $3, percent = $4, \
     revert = $5, version = version + 1 WHERE id = $6 AND version = $7";

#[derive(FromRow)]
struct TaskRow {
    id: i64,
    task_id: Vec<u8>,
    ip: String,
    action: String,
    create_time: i64,
    content: String,
    description: String,
}

#[derive(FromRow)]
struct StatusRow {
    id: i64,
    task_id: Vec<u8>,
    start_time: i64,
    revert_time: i64,
    status: i64,
    percent: i64,
    revert: i64,
    version: i64,
}

impl TryFrom<TaskRow> for Task {
    type Error = StorageError;

    fn try_from(row: TaskRow) -> StorageResult<Self> {
        let TaskRow { id, task_id, ip, action, create_time, content, description } = row;
        let (ip, create_time) = (address(&ip)?, time(create_time)?);
        Ok(Self { id, task_id: task_id_of(&task_id)?, ip, action, create_time, content, description })
    }
}

impl TryFrom<StatusRow> for TaskStatus {
    type Error = StorageError;

    fn try_from(row: StatusRow) -> StorageResult<Self> {
        let StatusRow { id, task_id, start_time, revert_time, status, percent, revert, version } = row;
        let status = Status::from_id(status).ok_or(StorageError::Corrupt { what: "status" })?;
        let revert = Revert::from_id(revert).ok_or(StorageError::Corrupt { what: "revert" })?;
        Ok(Self {
            id,
            task_id: task_id_of(&task_id)?,
            start_time,
            revert_time,
            status,
            percent,
            revert,
            version,
        })
    }
}

fn task_id_of(bytes: &[u8]) -> StorageResult<TaskId> {
    Ok(TaskId(uuid::Uuid::from_bytes(array(bytes, "task id")?)))
}

#[async_trait]
impl TaskRepository for Transaction {
    async fn insert(&mut self, task: &Task) -> StorageResult<()> {
        let Task { task_id, ip, action, create_time, content, description, .. } = task;
        let id = &task_id.0.as_bytes()[..];
        self.connection.execute(INSERT, values![id, *ip, action, *create_time, content, description]).await?;
        self.connection.execute(INSERT_STATUS, values![id]).await.map(|_| ())
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>> {
        let found = self.connection.optional::<TaskRow>(FIND, values![&task_id.0.as_bytes()[..]]).await?;
        found.map(Task::try_from).transpose()
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Task>> {
        let rows = self.connection.all::<TaskRow>(LIST, values![page.start, page.count]).await?;
        rows.into_iter().map(Task::try_from).collect()
    }

    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![&task_id.0.as_bytes()[..]]).await? > 0)
    }

    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>> {
        let found =
            self.connection.optional::<StatusRow>(FIND_STATUS, values![&task_id.0.as_bytes()[..]]).await?;
        found.map(TaskStatus::try_from).transpose()
    }

    async fn list_statuses(&mut self, page: Page) -> StorageResult<Vec<TaskStatus>> {
        let rows = self.connection.all::<StatusRow>(LIST_STATUSES, values![page.start, page.count]).await?;
        rows.into_iter().map(TaskStatus::try_from).collect()
    }

    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool> {
        let &TaskStatus { id, start_time, revert_time, status, percent, revert, version, .. } = status;
        let values = values![start_time, revert_time, status.id(), percent, revert.id(), id, version];
        Ok(self.connection.execute(UPDATE_STATUS, values).await? > 0)
    }
}
