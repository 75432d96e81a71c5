//! Pages of operations: release tasks and machines.

mod machines;
mod task;
mod tasks;

use axum::Router;
use axum::routing::{get, post};

use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/tasks", get(tasks::get_tasks).post(tasks::post_task))
        .route("/tasks/{id}", get(task::get_task))
        .route("/tasks/{id}/live", get(task::get_live))
        .route("/tasks/{id}/order", post(task::post_order))
        .route("/tasks/{id}/delete", post(task::post_delete))
        .route("/machines", get(machines::get_machines).post(machines::post_machine))
        .route("/machines/update", post(machines::post_update))
        .route("/machines/delete", post(machines::post_delete))
}
