//! Health checks: whether the process lives, and whether it can serve.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pilothouse_core::Readiness;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Health of the process.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`, or what is missing.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Answers while the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "The process lives.", body = Health)),
)]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Answers 200 only when a write would succeed: the store answers, its schema is one that this version serves, its wake-ups
/// arrive, and the background jobs of this process are alive. At most a second old.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    extensions(("x-permission" = json!("none"))),
    responses(
        (status = 200, description = "The server can serve.", body = Health),
        (status = 503, description = "The server cannot serve, for the reason named.", body = Health),
    ),
)]
async fn readyz(State(api): State<ApiState>) -> (StatusCode, Json<Health>) {
    let status = match api.pilothouse.readiness().await {
        Readiness::Ready => return (StatusCode::OK, Json(Health { status: "ok" })),
        Readiness::StoreSilent => "the store does not answer",
        Readiness::WorkerStalled => "a background job is stalled",
        _ => "the store is not ready",
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status }))
}
