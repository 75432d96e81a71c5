//! `/api/task_view`: tasks and their statuses in one list.

use axum::extract::State;
use pilothouse_core::ops::TaskView;
use serde::Serialize;
use utoipa::ToSchema;

use super::task::{TaskInfo, TaskQuery};
use super::task_status::StatusInfo;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, info};
use crate::page::{ListReply, listed};
use crate::state::ApiState;

/// A task and its status.
#[derive(Serialize, ToSchema)]
pub(super) struct ViewInfo {
    /// The task.
    task: TaskInfo,
    /// Its status.
    status: StatusInfo,
}

impl From<TaskView> for ViewInfo {
    fn from(view: TaskView) -> Self {
        Self { task: view.task.into(), status: view.status.into() }
    }
}

/// Lists tasks with their statuses by id.
#[utoipa::path(
    get,
    path = "/api/task_view",
    tag = "ops",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses((
        status = 200,
        description = "The tasks with their statuses.",
        body = Info<Vec<ViewInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it; with `text`, of the rows looked at."),
            ("X-Search-Before" = i64, description = "The `before` with which a search goes on that has not looked at every row."),
        ),
    )),
)]
pub(super) async fn get_task_view(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> ListReply<Info<Vec<ViewInfo>>> {
    let (found, page) = query.views(&api, &caller).await?;
    listed(found, page, ViewInfo::from, info)
}
