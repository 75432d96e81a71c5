//! Release tasks: one file to be updated on one machine.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{StatusReport, TaskStatus};
use crate::account::{Caller, Entry, Group, digest};
use crate::ports::StorageResult;
use crate::{Error, Page, Pilothouse, Result, check_text, check_token};

/// A task's id: a UUID, on the wire 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub Uuid);

impl Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl FromStr for TaskId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let well_formed =
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let uuid = Uuid::try_parse(text).ok().filter(|_| well_formed);
        uuid.map(Self).ok_or_else(|| Error::invalid("task_id", "must be 32 lower-case hexadecimal digits"))
    }
}

/// A release task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its place in the list.
    pub id: i64,
    /// What identifies it.
    pub task_id: TaskId,
    /// The machine it is for.
    pub ip: IpAddr,
    /// The command, such as `update`.
    pub action: String,
    /// When it was added.
    pub create_time: DateTime<Utc>,
    /// The file.
    pub content: String,
    /// What it is about.
    pub description: String,
}

/// A task to be added. Every field is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The machine's IPv4 or IPv6 address.
    pub ip: String,
    /// 1 to 32 of `[a-z0-9_-]`.
    pub action: String,
    /// The file: 1 to 4096 bytes.
    pub content: String,
    /// 1 to 4096 bytes.
    pub description: String,
}

/// Tasks and their status in a store. A task and its status live and die together.
#[async_trait]
pub trait TaskRepository: Send {
    /// Adds a task and its all-zero status, ignoring `id`.
    async fn insert(&mut self, task: &Task) -> StorageResult<()>;
    /// By its task id.
    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>>;
    /// A page of tasks, by id.
    async fn list(&mut self, page: Page) -> StorageResult<Vec<Task>>;
    /// Removes a task and its status; whether there was one.
    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool>;
    /// The status of a task.
    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>>;
    /// A page of statuses, by id.
    async fn list_statuses(&mut self, page: Page) -> StorageResult<Vec<TaskStatus>>;
    /// Replaces a status if `version` is still the stored one, which then grows by one.
    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool>;
}

/// The use cases of tasks.
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'a>(pub(crate) &'a Pilothouse);

impl Tasks<'_> {
    /// A page of tasks; needs group 1.
    pub async fn list(&self, caller: &Caller, page: Page) -> Result<Vec<Task>> {
        self.0.require(caller, Group::ReadTasks)?;
        Ok(self.0.storage().peek().await?.tasks().list(page).await?)
    }

    /// One task; needs group 1.
    pub async fn find(&self, caller: &Caller, task_id: TaskId) -> Result<Task> {
        self.0.require(caller, Group::ReadTasks)?;
        let found = self.0.storage().peek().await?.tasks().find(task_id).await?;
        found.ok_or_else(|| Error::not_found("the task"))
    }

    /// Adds a task with its status; needs group 2.
    pub async fn add(&self, caller: &Caller, new: NewTask) -> Result<TaskId> {
        self.0.require(caller, Group::WriteTasks)?;
        let ip = new.ip.parse().map_err(|_| Error::invalid("ip", "must be an IPv4 or IPv6 address"))?;
        check_token("action", &new.action, 1, 32, "a-z, 0-9, _ and -", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'
        })?;
        check_text("content", &new.content, 1, 4096, false)?;
        check_text("description", &new.description, 1, 4096, false)?;
        let task = Task {
            id: 0,
            task_id: TaskId(self.0.ids().uuid()),
            ip,
            action: new.action,
            create_time: self.0.clock().now(),
            content: new.content,
            description: new.description,
        };
        let mut work = self.0.storage().begin().await?;
        work.tasks().insert(&task).await?;
        let entry = Entry::new("task.add", task.task_id.to_string()).new_digest(task.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        work.commit().await?;
        Ok(task.task_id)
    }

    /// Deletes a task with its status; needs group 2.
    pub async fn delete(&self, caller: &Caller, task_id: TaskId) -> Result<()> {
        self.0.require(caller, Group::WriteTasks)?;
        let mut work = self.0.storage().begin().await?;
        let task = work.tasks().find(task_id).await?.ok_or_else(|| Error::not_found("the task"))?;
        if !work.tasks().delete(task_id).await? {
            return Err(Error::not_found("the task"));
        }
        let entry = Entry::new("task.delete", task_id.to_string()).old(task.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }

    /// A page of statuses; needs group 1.
    pub async fn list_statuses(&self, caller: &Caller, page: Page) -> Result<Vec<TaskStatus>> {
        self.0.require(caller, Group::ReadTasks)?;
        Ok(self.0.storage().peek().await?.tasks().list_statuses(page).await?)
    }

    /// The status of one task; needs group 1.
    pub async fn find_status(&self, caller: &Caller, task_id: TaskId) -> Result<TaskStatus> {
        self.0.require(caller, Group::ReadTasks)?;
        let found = self.0.storage().peek().await?.tasks().find_status(task_id).await?;
        found.ok_or_else(|| Error::not_found("the task"))
    }

    /// Takes an agent's report; needs group 2. [`TaskStatus::report`] says which moves there are.
    pub async fn report(&self, caller: &Caller, task_id: TaskId, report: StatusReport) -> Result<()> {
        self.0.require(caller, Group::WriteTasks)?;
        report.check()?;
        let mut work = self.0.storage().begin().await?;
        let now = work.now().await?;
        let status = work.tasks().find_status(task_id).await?.ok_or_else(|| Error::not_found("the task"))?;
        let next = status.report(&report, now)?;
        if !work.tasks().update_status(&next).await? {
            return Err(Error::conflict("the status was changed meanwhile"));
        }
        let entry =
            Entry::new("task.report", task_id.to_string()).old(status.digest()).new_digest(next.digest());
        self.0.audit(&mut *work, caller, entry).await?;
        Ok(work.commit().await?)
    }
}

impl Task {
    fn digest(&self) -> String {
        digest(&[&self.ip.to_string(), &self.action, &self.content, &self.description])
    }
}
