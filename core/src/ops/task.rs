//! Release tasks: one file to be updated on one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::machines::check_number;
use super::{BatchId, NewFile, Revert, Status, StatusReport, TaskFilter, TaskStatus, TaskView};
use crate::account::{Caller, CallerTransaction, Entry, Group, digest};
use crate::id::id;
use crate::ports::{LockKey, StorageResult};
use crate::{Error, IdempotencyKey, Page, Pilothouse, Result, check_text, check_token};

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

    /// Reads a UUID in any spelling: with or without hyphens, braces or `urn:uuid:`, in any case.
    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| Error::invalid("task_id", "must be a UUID"))
    }
}

id! {
    /// The number of a task: its place in the list. Agents know a task by its [`TaskId`].
    TaskNumber
}

/// A release task: an update of one file on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Row number given by the store; lists are ordered by it.
    pub id: TaskNumber,
    /// Random identifier, known to agents: 32 hexadecimal digits on the wire.
    pub task_id: TaskId,
    /// The machine it is for.
    pub ip: IpAddr,
    /// The command, such as `update`.
    pub action: String,
    /// Time it was added.
    pub create_time: DateTime<Utc>,
    /// Path of the file to update: 1 to 4096 bytes.
    pub content: String,
    /// Description for people: 1 to 4096 bytes.
    pub description: String,
    /// Batch that it belongs to, if any.
    pub batch: Option<BatchId>,
}

/// A task to be added. Every field is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The machine's address.
    pub ip: IpAddr,
    /// 1 to 32 of `[a-z0-9_-]`.
    pub action: String,
    /// The file: 1 to 4096 bytes.
    pub content: String,
    /// 1 to 4096 bytes.
    pub description: String,
    /// Content and conditions, with which an agent of ours carries the task out. Without it the content is the release of the
    /// path; where there are no releases either, only other agents can carry the task out.
    pub file: Option<NewFile>,
}

/// Refuses texts of a task outside their limits.
pub(super) fn check_texts(action: &str, content: &str, description: &str) -> Result<()> {
    check_token("action", action, 1, 32, "a-z, 0-9, _ and -", |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'
    })?;
    check_text("content", content, 1, 4096, false)?;
    check_text("description", description, 1, 4096, false)
}

impl NewTask {
    fn check(&self, pilothouse: &Pilothouse) -> Result<()> {
        check_texts(&self.action, &self.content, &self.description)?;
        match &self.file {
            Some(file) => pilothouse.check_file(&self.content, file),
            None => Ok(()),
        }
    }

    fn into_task(self, task_id: TaskId, create_time: DateTime<Utc>) -> Task {
        let Self { ip, action, content, description, .. } = self;
        Task { id: TaskNumber::UNSAVED, task_id, ip, action, create_time, content, description, batch: None }
    }
}

/// Tasks and their status in a store. A task and its status live and die together.
#[async_trait]
pub trait TaskRepository: Send {
    /// Adds a task and its all-zero status, ignoring `id`.
    async fn insert(&mut self, task: &Task) -> StorageResult<()>;
    /// Finds one by its task id.
    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>>;
    /// A page of the tasks that pass the filter, by id.
    async fn list(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<Task>>;
    /// The same with their statuses.
    async fn list_views(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<TaskView>>;
    /// Counts the tasks that pass the filter and have an id of at least `start` and less than `before`.
    async fn count(&mut self, filter: &TaskFilter, start: i64, before: i64) -> StorageResult<u64>;
    /// The id of the `n`th task before an id, counted from the newest; `None` where there are fewer.
    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<TaskNumber>>;
    /// Removes a task and its status; whether there was one.
    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool>;
    /// The status of a task.
    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>>;
    /// Replaces a status if `version` is still the stored one, which then grows by one.
    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool>;
}

/// The use cases of tasks.
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'a>(pub(crate) &'a Pilothouse);

impl Tasks<'_> {
    /// The most tasks that are added at once.
    pub const AT_ONCE: usize = 1000;

    /// One task, where there is one of that id; needs group 1.
    pub async fn find(&self, caller: &Caller, task_id: TaskId) -> Result<Option<Task>> {
        self.0.require(caller, Group::ReadTasks)?;
        Ok(self.0.storage().peek().await?.tasks().find(task_id).await?)
    }

    /// Adds a task with its status; needs group 2.
    pub async fn add(&self, caller: &Caller, new: NewTask) -> Result<TaskId> {
        let added = self.add_all(caller, vec![new], None).await?;
        added.into_iter().next().ok_or_else(|| Error::Internal("a task was added without its id".into()))
    }

    /// Adds all of 1 to [`Tasks::AT_ONCE`] tasks with their statuses, or none; needs group 2. A request that was accepted
    /// with the same key within a day adds nothing, and is answered with the ids that it was answered with then.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn add_all(
        &self,
        caller: &Caller,
        mut new: Vec<NewTask>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<TaskId>> {
        self.0.require(caller, Group::WriteTasks)?;
        check_number(new.len(), Self::AT_ONCE)?;
        for one in &mut new {
            one.file = self.0.file_or_release(one.file.take());
            one.check(self.0)?;
        }
        let mut blobs = BTreeMap::new();
        if new.iter().any(|one| one.file.is_some()) {
            if let Some(ids) = self.0.answer_before_blobs(caller, key).await? {
                return ids.split(',').map(str::parse).collect();
            }
            let files = new.iter_mut().filter_map(|one| Some((&*one.content, one.file.as_mut()?)));
            self.0.take_releases(files).await?;
            let named: BTreeSet<_> =
                new.iter().filter_map(|one| one.file.as_ref().and_then(|file| file.sha256)).collect();
            for sha256 in named {
                blobs.insert(sha256, self.0.find_blob(sha256).await?);
            }
        }
        let now = self.0.clock().now();
        let mut tasks = Vec::with_capacity(new.len());
        let mut files = Vec::new();
        for mut new in new {
            let task_id = TaskId(self.0.ids().uuid());
            files.extend(new.file.take().map(|file| (task_id, file)));
            tasks.push(new.into_task(task_id, now));
        }
        let ids: Vec<_> = tasks.iter().map(|task| task.task_id.to_string()).collect();
        let mut work = self.0.write_as(caller).await?;
        if let Some(ids) = work.answered_before(key, &ids.join(",")).await? {
            return ids.split(',').map(str::parse).collect();
        }
        for task in &tasks {
            work.tasks().insert(task).await?;
            let entry = Entry::new("task.add", task.task_id.to_string()).new_digest(task.digest());
            work.record(entry).await?;
        }
        if !files.is_empty() {
            // No blob is removed while tasks are added that name it.
            work.lock(LockKey::Blobs).await?;
        }
        for (task_id, file) in files {
            let sha256 = file.sha256.ok_or_else(|| Error::invalid("sha256", "is required"))?;
            let size = work.require_blob(blobs.get(&sha256).copied().flatten()).await?;
            work.orders().insert(&file.into_content(task_id, sha256, size), None).await?;
        }
        work.commit().await?;
        Ok(tasks.into_iter().map(|task| task.task_id).collect())
    }

    /// Deletes a task with its status; needs group 2.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn delete(&self, caller: &Caller, task_id: TaskId) -> Result<()> {
        self.0.require(caller, Group::WriteTasks)?;
        let mut work = self.0.write_as(caller).await?;
        let task = work.tasks().find(task_id).await?.ok_or_else(|| Error::not_found("the task"))?;
        if work.orders().find(task_id).await?.is_some_and(|order| order.is_held()) {
            return Err(Error::conflict("an agent has the task, or may have replaced the file"));
        }
        if !work.tasks().delete(task_id).await? {
            return Err(Error::not_found("the task"));
        }
        if let Some(batch) = task.batch {
            work.forget_empty_batch(batch).await?;
        }
        let entry = Entry::new("task.delete", task_id.to_string()).old(task.digest());
        work.record(entry).await?;
        Ok(work.commit().await?)
    }

    /// The status of one task, where there is one of that id; needs group 1.
    pub async fn find_status(&self, caller: &Caller, task_id: TaskId) -> Result<Option<TaskStatus>> {
        self.0.require(caller, Group::ReadTasks)?;
        Ok(self.0.storage().peek().await?.tasks().find_status(task_id).await?)
    }

    /// Takes an agent's report; needs group 2. [`TaskStatus::report`] says which moves there are. On a task that was ordered
    /// it may only repeat the status, cancel, or ask for the revert, which need group 3.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn report(&self, caller: &Caller, task_id: TaskId, report: StatusReport) -> Result<()> {
        self.0.require(caller, Group::WriteTasks)?;
        report.check()?;
        let mut work = self.0.write_as(caller).await?;
        if work.ordered(task_id).await?.is_some() {
            return self.report_ordered(work, caller, task_id, &report).await;
        }
        if work.report_task(task_id, &report).await? {
            work.commit().await?;
        }
        Ok(())
    }

    /// A report on a task whose status is that of its order.
    async fn report_ordered(
        &self,
        mut work: CallerTransaction<'_>,
        caller: &Caller,
        task_id: TaskId,
        report: &StatusReport,
    ) -> Result<()> {
        let held = work.status(task_id).await?;
        if (held.status, held.revert) == (report.status, report.revert) {
            return Ok(());
        }
        let asks_revert = report.revert == Revert::Asked && held.revert != Revert::Asked;
        if !asks_revert && report.status != Status::Cancelled {
            return Err(Error::conflict("an agent reports on this task itself"));
        }
        self.0.require(caller, Group::ExecuteTasks)?;
        let order =
            if asks_revert { work.revert_order(task_id).await? } else { work.cancel_order(task_id).await? };
        work.commit().await?;
        self.0.announce_order(&order).await;
        Ok(())
    }
}

impl CallerTransaction<'_> {
    /// Cancels a task that waits or runs.
    pub(super) async fn cancel_task(&mut self, task_id: TaskId) -> Result<()> {
        if let Some(order) = self.ordered(task_id).await? {
            if order.is_held() {
                return Err(Error::conflict(format!("an agent has task {task_id}")));
            }
            return self.cancel_order(task_id).await.map(|_| ());
        }
        let status = self.status(task_id).await?;
        let report = StatusReport {
            start_time: None,
            revert_time: None,
            percent: status.percent,
            status: Status::Cancelled,
            revert: status.revert,
        };
        self.report_task(task_id, &report).await.map(|_| ())
    }

    async fn status(&mut self, task_id: TaskId) -> Result<TaskStatus> {
        let status = self.tasks().find_status(task_id).await?;
        status.ok_or_else(|| Error::not_found("the task"))
    }

    /// Moves a task's status as a report says; whether that changed it.
    async fn report_task(&mut self, task_id: TaskId, report: &StatusReport) -> Result<bool> {
        let now = self.now().await?;
        let status = self.status(task_id).await?;
        let next = status.report(report, now)?;
        if next == status {
            // A repeated report: nothing to write down.
            return Ok(false);
        }
        if !self.tasks().update_status(&next).await? {
            return Err(Error::conflict("the status was changed meanwhile"));
        }
        let entry =
            Entry::new("task.report", task_id.to_string()).old(status.digest()).new_digest(next.digest());
        self.record(entry).await?;
        Ok(true)
    }
}

impl Task {
    pub(super) fn digest(&self) -> String {
        digest(&[&self.ip.to_string(), &self.action, &self.content, &self.description])
    }
}
