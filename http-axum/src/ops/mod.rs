//! `/api/*`: release tasks, their contents and orders, machines, and what their agents call.

mod add_task;
mod agent;
mod agent_blob;
mod blob;
mod machine;
mod machine_info;
mod task;
mod task_status;
mod task_view;
mod update;
mod update_view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(task::get_task, task::post_task, task::delete_task))
        .routes(routes!(task_status::get_task_status, task_status::post_task_status))
        .routes(routes!(task_view::get_task_view))
        .routes(routes!(update_view::get_update, update::post_update))
        .routes(routes!(blob::get_blob, blob::put_blob))
        .routes(routes!(agent::post_agent_enroll))
        .routes(routes!(agent::post_agent_renew))
        .routes(routes!(agent::post_agent_poll))
        .routes(routes!(agent::post_agent_report))
        .routes(routes!(agent_blob::get_agent_blob))
        .routes(routes!(machine::get_machine))
        .routes(routes!(
            machine_info::get_machine_info,
            machine_info::post_machine_info,
            machine_info::delete_machine_info
        ))
}
