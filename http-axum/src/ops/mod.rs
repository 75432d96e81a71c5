//! `/api/*`: release tasks and machines.

mod machine_info;
mod task;
mod task_status;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(task::get_task, task::post_task, task::delete_task))
        .routes(routes!(task_status::get_task_status, task_status::post_task_status))
        .routes(routes!(
            machine_info::get_machine_info,
            machine_info::post_machine_info,
            machine_info::delete_machine_info
        ))
}
