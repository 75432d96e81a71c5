//! Pages of operations: release tasks, batches of them, files to be uploaded, and machines.

mod batch;
mod batches;
mod files;
mod machine;
mod machines;
mod task;
mod tasks;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::confirm::confirmed;
use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    let upload = DefaultBodyLimit::max(files::MOST_BYTES + files::FORM_BYTES);
    Router::new()
        .route("/tasks", get(tasks::get_tasks).post(tasks::post_task))
        .route("/tasks/{id}", get(task::get_task))
        .route("/tasks/{id}/live", get(task::get_live))
        .route("/tasks/{id}/order", post(task::post_order))
        .route("/tasks/{id}/delete", post(task::post_delete))
        .route("/batches", get(batches::get_batches).post(batches::post_batch))
        .route("/batches/new", get(batches::get_new))
        .route("/batches/{id}", get(batch::get_batch))
        .route("/batches/{id}/live", get(batch::get_live))
        .route("/batches/{id}/order", post(batch::post_order))
        .route("/files", get(files::get_files).post(files::post_file).layer(upload))
        .route("/machines", get(machines::get_machines).post(machines::post_machine))
        .route("/machines/update", post(machines::post_update))
        .route("/machines/delete", post(machines::post_delete))
        .route("/machines/machine", get(machine::get_machine))
        .route("/machines/enroll", confirmed(post(machine::post_enroll)))
        .route("/machines/revoke", post(machine::post_revoke))
}
