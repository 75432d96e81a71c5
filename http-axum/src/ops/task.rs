//! `/api/task`: lists, adds and deletes release tasks.

use axum::extract::State;
use pilothouse_core::account::Caller;
use pilothouse_core::ops::{AddedBatch, Status, Task, TaskFilter, TaskId, TaskView};
use pilothouse_core::{Error, Listing, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::add_task::{AddTask, NewTasks};
use crate::args::{Action, Args, OneOrMany, ip_address};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::idempotency::{Idempotency, IdempotencyHeader};
use crate::optional_member::selector;
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

/// A release task: an update of one file on one machine.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskInfo {
    /// Row number given by the store; lists are ordered by it.
    #[schema(example = 1)]
    id: i64,
    /// Task id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// The machine it is for.
    #[schema(example = "192.168.1.1")]
    ip: String,
    /// Command: 1 to 32 of `a-z 0-9 _ -`.
    #[schema(example = "update")]
    action: String,
    /// Time it was added in unix seconds.
    #[schema(example = 1_480_471_675)]
    create_time: i64,
    /// Path of the file.
    #[schema(example = "/path/to/file")]
    content: String,
    /// Description that people read: 1 to 4,096 bytes.
    #[schema(example = "更新xxx功能")]
    description: String,
}

impl From<Task> for TaskInfo {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.0,
            task_id: task.task_id.to_string(),
            ip: task.ip.to_string(),
            action: task.action,
            create_time: task.create_time.timestamp(),
            content: task.content,
            description: task.description,
        }
    }
}

list_query! {
    /// Tasks to list: a page of those that pass the filters, or the one of `task_id`.
    pub(super) struct TaskQuery {
        /// Only this task: a UUID in any spelling.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
        task_id: Option<String>,
        /// Only tasks for the machine of this address.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 45, example = "192.168.1.1")]
        ip: Option<String>,
        /// Only tasks with this status: 0 to 5. Status 1 at 100 percent counts as 2.
        #[serde(default, deserialize_with = "selector")]
        #[param(minimum = 0, maximum = 5, example = 1)]
        status: Option<i64>,
        /// Only tasks of this command.
        #[serde(default, deserialize_with = "selector")]
        #[param(pattern = "^[a-z0-9_-]{1,32}$", example = "update")]
        action: Option<String>,
        /// Only tasks with this text in their content or description, among the newest 100,000 before `before`.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 4096, example = "nginx.conf")]
        text: Option<String>,
        /// Only tasks of this batch: a UUID in any spelling.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 45, example = "6f1d0a6cc78f5211e685855cf9389306")]
        batch: Option<String>,
    }
}

impl TaskQuery {
    /// The tasks with their statuses that are asked for, and the page.
    pub(super) async fn views(
        self,
        api: &ApiState,
        caller: &Caller,
    ) -> Result<(Listing<TaskView>, Page), Error> {
        let page = self.page()?;
        let tasks = api.pilothouse.tasks();
        let found = match self.selection()? {
            (filter, Some(task_id)) => {
                let found = tasks.find_view(caller, task_id).await?.filter(|view| filter.accepts(view));
                Listing::whole(found.into_iter().collect())
            }
            (filter, None) => tasks.list_views(caller, &filter, page).await?,
        };
        Ok((found, page))
    }

    /// The filter, and the one task where it is named.
    fn selection(self) -> Result<(TaskFilter, Option<TaskId>), Error> {
        let filter = TaskFilter {
            ip: self.ip.as_deref().map(|ip| ip_address("ip", ip)).transpose()?,
            outcome: self.status.map(Status::try_from).transpose()?,
            action: self.action,
            text: self.text,
            batch: self.batch.map(|batch| batch.parse()).transpose()?,
        };
        Ok((filter, self.task_id.map(|task_id| task_id.parse()).transpose()?))
    }
}

/// Lists tasks by id.
#[utoipa::path(
    get,
    path = "/api/task",
    tag = "ops",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((
        status = 200,
        description = "The tasks.",
        body = Info<Vec<TaskInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it; with `text`, of the rows looked at."),
            ("X-Search-Before" = i64, description = "The `before` with which a search goes on that has not looked at every row."),
        ),
    )),
)]
pub(super) async fn get_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> ListReply<Info<Vec<TaskInfo>>> {
    if query.task_id.is_some() {
        let (found, page) = query.views(&api, &caller).await?;
        return listed(found, page, |view| view.task.into(), info);
    }
    let page = query.page()?;
    let (filter, _) = query.selection()?;
    let found = api.pilothouse.tasks().list(&caller, &filter, page).await?;
    listed(found, page, TaskInfo::from, info)
}

/// Body of `/api/task`: one action on tasks.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostTask {
    /// Adds a task, all of a list of up to 1,000 or none, or with `ips` or `machines` a batch: one task for each machine.
    Add(OneOrMany<AddTask>),
}

/// Answer with the new task.
#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    /// Task id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
}

/// Answer with the tasks of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedForMachines {
    /// Batch id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "6f1d0a6cc78f5211e685855cf9389306")]
    batch: String,
    /// Ids of its tasks: 32 hexadecimal digits each.
    #[schema(example = json!(["0358c3c78f5211e685855cf9389306a2"]))]
    task_ids: Vec<String>,
    /// Names of their machines, in the same order; empty for an address that no machine or more than one has.
    #[schema(example = json!(["web01"]))]
    machines: Vec<String>,
}

impl From<AddedBatch> for AddedForMachines {
    fn from(AddedBatch { batch_id, task_ids, machines }: AddedBatch) -> Self {
        let task_ids = task_ids.iter().map(ToString::to_string).collect();
        Self { batch: batch_id.to_string(), task_ids, machines }
    }
}

/// The new task, the new tasks in the order of the list, or the new batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AddedTasks {
    /// Of one task.
    One(Added),
    /// Of a list.
    Many(Vec<Added>),
    /// Of a task for many machines.
    Batch(AddedForMachines),
}

/// Adds tasks with their statuses.
#[utoipa::path(
    post,
    path = "/api/task",
    tag = "ops",
    request_body = PostTask,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 2"))),
    params(IdempotencyHeader),
    responses((status = 200, description = "The new task, the new tasks of a list, or the new batch.", body = Info<AddedTasks>)),
)]
pub(super) async fn post_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Idempotency(key): Idempotency,
    Args(action): Args<Action>,
) -> Reply<Info<AddedTasks>> {
    action.verb(&["add"])?;
    let key = key.map(|key| action.idempotency_key("/api/task", &key)).transpose()?;
    let (is_list, data) = action.list::<AddTask>()?;
    let mut new = Vec::with_capacity(data.len());
    for one in data {
        match one.read()? {
            NewTasks::One(task) => new.push(*task),
            NewTasks::Batch(_) if is_list => {
                return Err(Error::invalid("data", "must not be a list with ips or machines").into());
            }
            NewTasks::Batch(batch) => {
                let added = api.pilothouse.batches().add(&caller, *batch, key.as_ref()).await?;
                return info(AddedTasks::Batch(added.into()));
            }
        }
    }
    let task_ids = api.pilothouse.tasks().add_all(&caller, new, key.as_ref()).await?;
    let mut added = task_ids.into_iter().map(|task_id| Added { task_id: task_id.to_string() });
    match added.next() {
        Some(one) if !is_list => info(AddedTasks::One(one)),
        first => info(AddedTasks::Many(first.into_iter().chain(added).collect())),
    }
}

/// Task to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteTask {
    /// The task: a UUID in any spelling.
    #[param(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
}

/// Deletes a task with its status.
#[utoipa::path(
    delete,
    path = "/api/task",
    tag = "ops",
    params(DeleteTask),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 2"))),
    responses((status = 200, description = "`delete task ok`.", body = Info<String>)),
)]
pub(super) async fn delete_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteTask>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.tasks().delete(&caller, query.task_id.parse()?).await?;
    info("delete task ok")
}
