//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

/// How long the store may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// How it stands.
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

/// Answers 200 only when the store answers, its schema is current and its wake-ups arrive.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    extensions(("x-permission" = json!("none"))),
    responses(
        (status = 200, description = "The server can serve.", body = Health),
        (status = 503, description = "The store is not ready.", body = Health),
    ),
)]
async fn readyz(State(api): State<ApiState>) -> (StatusCode, Json<Health>) {
    match tokio::time::timeout(PATIENCE, api.pilothouse.storage().ready()).await {
        Ok(Ok(())) => (StatusCode::OK, Json(Health { status: "ok" })),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "the store is not ready" }))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "the store does not answer" })),
    }
}
