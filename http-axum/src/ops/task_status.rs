//! `/api/task_status`: how far release tasks have come.

use axum::extract::State;
use pilothouse_core::ops::{StatusReport, TaskId, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::TaskQuery;
use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::page::{ListReply, listed};
use crate::state::ApiState;

/// The status of a release task.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusInfo {
    /// Row number of the task; lists are ordered by it.
    #[schema(example = 1)]
    id: i64,
    /// Task whose status it is.
    #[schema(example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// Start of the run in unix seconds; 0 before.
    #[schema(example = 1_480_471_675)]
    start_time: i64,
    /// Request of the revert in unix seconds; 0 before.
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
            id: status.id.0,
            task_id: status.task_id.to_string(),
            start_time: status.start_time,
            revert_time: status.revert_time,
            status: status.status.id(),
            percent: status.percent,
            revert: status.revert.id(),
        }
    }
}

/// Lists statuses by the id of their task.
#[utoipa::path(
    get,
    path = "/api/task_status",
    tag = "ops",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((
        status = 200,
        description = "The statuses.",
        body = Info<Vec<StatusInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it; with `text`, of the rows looked at."),
            ("X-Search-Before" = i64, description = "The `before` with which a search goes on that has not looked at every row."),
        ),
    )),
)]
pub(super) async fn get_task_status(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> ListReply<Info<Vec<StatusInfo>>> {
    let (found, page) = query.views(&api, &caller).await?;
    listed(found, page, |view| view.status.into(), info)
}

/// Action on a task's status.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostTaskStatus {
    /// Takes an agent's report.
    Update(UpdateTaskStatus),
}

/// Status report of an agent.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateTaskStatus {
    /// The task: a UUID in any spelling.
    #[schema(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// Start of the run in unix seconds; the server's time where it is not given.
    #[schema(minimum = 0, example = 1_480_471_675)]
    start_time: Option<i64>,
    /// Request of the revert in unix seconds; the server's time where it is not given.
    #[schema(minimum = 0, example = 1_480_471_675)]
    revert_time: Option<i64>,
    /// Progress, never falling within a run; 100 is success, with status 1 too.
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
    let task_id: TaskId = task_id.parse()?;
    let (status, revert) = (status.try_into()?, revert.try_into()?);
    let report = StatusReport { start_time, revert_time, percent, status, revert };
    api.pilothouse.tasks().report(&caller, task_id, report).await?;
    info("update task status ok")
}
