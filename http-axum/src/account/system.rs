//! `/admin/system`: state of the server that answers.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::{SystemInfo, Unset, WorkerStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// State of a server.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerState {
    /// Version of the program.
    #[schema(example = "0.1.0")]
    version: String,
    /// Commit of its sources; empty where it is not known.
    #[schema(example = "0123456789ab")]
    commit: String,
    /// `memory`, `sqlite` or `postgres`.
    #[schema(example = "sqlite")]
    store: &'static str,
    /// Version of the store's schema that the program is made for; 0 in memory.
    #[schema(example = 1)]
    schema: i64,
    /// `ready`, `store_not_ready`, `store_silent` or `worker_stalled`, up to a second old.
    #[schema(example = "ready")]
    readiness: &'static str,
    /// Background jobs of this process, by name.
    workers: Vec<WorkerInfo>,
    /// Settings without which it does less: `cdn`, `geo_city_database`, `log_dir`, `blob_dir`, `webhook` and
    /// `four_eyes_profiles`.
    #[schema(example = json!(["webhook"]))]
    not_set_up: Vec<&'static str>,
}

/// Background job of a server.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkerInfo {
    /// Name of the job.
    #[schema(example = "housekeeping")]
    name: &'static str,
    /// Time of its last success in unix seconds; 0 before the first.
    #[schema(example = 1_480_471_675)]
    last_success: i64,
    /// Number of restarts after a panic.
    #[schema(example = 0)]
    restarts: u64,
    /// Whether it is overdue, or waits to be started again after a panic.
    #[schema(example = false)]
    is_stalled: bool,
}

impl From<WorkerStatus> for WorkerInfo {
    fn from(worker: WorkerStatus) -> Self {
        Self {
            name: worker.name,
            last_success: worker.last_success.as_ref().map_or(0, DateTime::<Utc>::timestamp),
            restarts: worker.restarts,
            is_stalled: worker.is_stalled,
        }
    }
}

impl From<SystemInfo> for ServerState {
    fn from(system: SystemInfo) -> Self {
        Self {
            store: system.store.kind,
            schema: system.store.schema,
            readiness: system.readiness.as_str(),
            workers: system.workers.into_iter().map(WorkerInfo::from).collect(),
            not_set_up: system.unset.into_iter().map(Unset::as_str).collect(),
            version: system.version,
            commit: system.commit,
        }
    }
}

/// Nothing is asked for.
#[derive(Deserialize)]
pub(super) struct SystemQuery {}

/// Version, store, background jobs of the server that answers, and what is not set up.
#[utoipa::path(
    get,
    path = "/admin/system",
    tag = "ops",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 9"))),
    responses((status = 200, description = "The state.", body = Info<ServerState>)),
)]
pub(super) async fn get_system(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(SystemQuery {}): Args<SystemQuery>,
) -> Reply<Info<ServerState>> {
    info(api.pilothouse.system().info(&caller).await?.into())
}
