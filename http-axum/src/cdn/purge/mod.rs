//! Refreshes and preloads, their progress, and the edges they reach.

mod edges;
mod job;
mod job_retry;
mod jobs;
mod preload;
mod preload_list;
mod refresh;
mod refresh_list;
mod task;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(refresh::post_refresh))
        .routes(routes!(preload::post_preload))
        .routes(routes!(refresh_list::get_refresh_list))
        .routes(routes!(preload_list::get_preload_list))
        .routes(routes!(task::get_task))
        .routes(routes!(jobs::get_jobs))
        .routes(routes!(job_retry::post_job_retry))
        .routes(routes!(edges::get_edges))
}
