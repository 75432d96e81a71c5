//! `/api/task`: release tasks.

use axum::extract::State;
use pilothouse_core::Page;
use pilothouse_core::ops::{NewTask, Task};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// A release task.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskInfo {
    /// Its place in the list.
    #[schema(example = 1)]
    id: i64,
    /// What identifies it.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// The machine it is for.
    #[schema(example = "192.168.1.1")]
    ip: String,
    /// The command.
    #[schema(example = "update")]
    action: String,
    /// When it was added, unix seconds.
    #[schema(example = 1_480_471_675)]
    create_time: i64,
    /// The file.
    #[schema(example = "/path/to/file")]
    content: String,
    /// What it is about.
    #[schema(example = "更新xxx功能")]
    description: String,
}

impl From<Task> for TaskInfo {
    fn from(task: Task) -> Self {
        Self {
            id: task.id,
            task_id: task.task_id.to_string(),
            ip: task.ip.to_string(),
            action: task.action,
            create_time: task.create_time.timestamp(),
            content: task.content,
            description: task.description,
        }
    }
}

/// Which tasks to list: a page, or the one of `task_id`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    pub(super) start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    pub(super) count: Option<i64>,
    /// Only this task: 32 lower-case hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    pub(super) task_id: Option<String>,
}

/// Lists tasks by id.
#[utoipa::path(
    get,
    path = "/api/task",
    tag = "ops",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((status = 200, description = "The tasks.", body = Info<Vec<TaskInfo>>)),
)]
pub(super) async fn get_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> Reply<Info<Vec<TaskInfo>>> {
    let tasks = match query.task_id {
        Some(task_id) => vec![api.pilothouse.tasks().find(&caller, task_id.parse()?).await?],
        None => api.pilothouse.tasks().list(&caller, Page::new(query.start, query.count)?).await?,
    };
    info(tasks.into_iter().map(TaskInfo::from).collect())
}

/// What to do.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostTask {
    /// Adds a task.
    Add(AddTask),
}

/// A task to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddTask {
    /// The machine's IPv4 or IPv6 address.
    #[schema(min_length = 2, max_length = 45, example = "192.168.1.1")]
    ip: String,
    /// The command.
    #[schema(pattern = "^[a-z0-9_-]{1,32}$", example = "update")]
    action: String,
    /// The file.
    #[schema(min_length = 1, max_length = 4096, example = "/path/to/file")]
    content: String,
    /// What it is about.
    #[schema(min_length = 1, max_length = 4096, example = "更新xxx功能")]
    description: String,
}

/// The new task.
#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    /// What identifies it.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
}

/// Adds a task with its status.
#[utoipa::path(
    post,
    path = "/api/task",
    tag = "ops",
    request_body = PostTask,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 2"))),
    responses((status = 200, description = "The new task.", body = Info<Added>)),
)]
pub(super) async fn post_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<Added>> {
    action.verb(&["add"])?;
    let AddTask { ip, action, content, description } = action.data()?;
    let task_id = api.pilothouse.tasks().add(&caller, NewTask { ip, action, content, description }).await?;
    info(Added { task_id: task_id.to_string() })
}

/// Which task to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteTask {
    /// The task: 32 lower-case hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
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
