//! `/api/task_status`: how far release tasks have come.

use axum::extract::State;
use pilothouse_core::Page;
use pilothouse_core::ops::{StatusReport, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::TaskQuery;
use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// The status of a release task.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusInfo {
    /// Its place in the list.
    #[schema(example = 1)]
    id: i64,
    /// Whose status it is.
    #[schema(example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// When it began, unix seconds; 0 before.
    #[schema(example = 1_480_471_675)]
    start_time: i64,
    /// When its undoing was asked for, unix seconds; 0 before.
    #[schema(example = 0)]
    revert_time: i64,
    /// 0 pending, 1 running, 2 succeeded, 3 failed, 4 cancelled, 5 unknown.
    #[schema(minimum = 0, maximum = 5, example = 1)]
    status: i64,
    /// Progress of this run.
    #[schema(minimum = 0, maximum = 100, example = 10)]
    percent: i64,
    /// 0 none, 1 asked for, 2 done, 3 failed.
    #[schema(minimum = 0, maximum = 3, example = 0)]
    revert: i64,
}

impl From<TaskStatus> for StatusInfo {
    fn from(status: TaskStatus) -> Self {
        Self {
            id: status.id,
            task_id: status.task_id.to_string(),
            start_time: status.start_time,
            revert_time: status.revert_time,
            status: status.status.id(),
            percent: status.percent,
            revert: status.revert.id(),
        }
    }
}

/// Lists statuses by id.
#[utoipa::path(
    get,
    path = "/api/task_status",
    tag = "ops",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((status = 200, description = "The statuses.", body = Info<Vec<StatusInfo>>)),
)]
pub(super) async fn get_task_status(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> Reply<Info<Vec<StatusInfo>>> {
    let tasks = api.pilothouse.tasks();
    let statuses = match query.task_id {
        Some(task_id) => vec![tasks.find_status(&caller, task_id.parse()?).await?],
        None => tasks.list_statuses(&caller, Page::new(query.start, query.count)?).await?,
    };
    info(statuses.into_iter().map(StatusInfo::from).collect())
}

/// What to do.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostTaskStatus {
    /// Takes an agent's report.
    Update(UpdateTaskStatus),
}

/// What an agent reports.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateTaskStatus {
    /// The task: 32 lower-case hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// When it began, unix seconds; the server's time where it is not given.
    #[schema(minimum = 0, example = 1_480_471_675)]
    start_time: Option<i64>,
    /// When its undoing was asked for, unix seconds; the server's time where it is not given.
    #[schema(minimum = 0, example = 1_480_471_675)]
    revert_time: Option<i64>,
    /// Progress; 100 only with status 2, and never falling within a run.
    #[schema(minimum = 0, maximum = 100, example = 10)]
    percent: i64,
    /// 0 pending, 1 running, 2 succeeded, 3 failed, 4 cancelled, 5 unknown.
    #[schema(minimum = 0, maximum = 5, example = 1)]
    status: i64,
    /// 0 none, 1 asked for, 2 done, 3 failed.
    #[schema(minimum = 0, maximum = 3, example = 1)]
    revert: i64,
}

/// Takes an agent's report.
#[utoipa::path(
    post,
    path = "/api/task_status",
    tag = "ops",
    request_body = PostTaskStatus,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 2"))),
    responses((status = 200, description = "`update task status ok`.", body = Info<String>)),
)]
pub(super) async fn post_task_status(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<&'static str>> {
    action.verb(&["update"])?;
    let UpdateTaskStatus { task_id, start_time, revert_time, percent, status, revert } = action.data()?;
    let report = StatusReport { start_time, revert_time, percent, status, revert };
    api.pilothouse.tasks().report(&caller, task_id.parse()?, report).await?;
    info("update task status ok")
}
