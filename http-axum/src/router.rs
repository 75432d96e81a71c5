//! The routers, and the API document that is made with them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::config::apollo;
use crate::family::Family;
use crate::middleware::{Guard, guard, no_such_path};
use crate::plain_path::plain_path;
use crate::state::ApiState;
use crate::{account, cdn, compression, config, cors, docs, document, health, ops};

/// All three families with health checks, `/openapi.json` and, with the feature `docs-ui`, `/docs`.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::body::Body;
/// use axum::http::{Request, StatusCode};
/// use pilothouse_core::{Pilothouse, Settings};
/// use pilothouse_http_axum::{ApiState, router};
/// use pilothouse_storage_memory::MemoryStorage;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default())?;
/// let (routes, openapi) = router::<()>(ApiState::new(pilothouse));
/// assert!(openapi.paths.paths.contains_key("/api/task"));
/// let anonymous = Request::get("/api/task?count=10").body(Body::empty())?;
/// assert_eq!(routes.oneshot(anonymous).await?.status(), StatusCode::FORBIDDEN);
/// # Ok(())
/// # }
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    let (routes, paths) = all_routes().split_for_parts();
    let document = document::complete(paths, &state.settings.prefix);
    (guarded(routes.merge(docs::routes(&document, &state.settings)), None, state), document)
}

/// The ops family alone: `/api/*` and `/admin/*`.
pub fn ops_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(ops::routes().merge(account::routes()), Family::Ops, state)
}

/// The config family alone: `/app/*`, `/userauth/*`, `/config/*`, `/node/*`, `/publish` and `/audit/*`.
pub fn config_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(config::routes(), Family::Config, state)
}

/// The cdn family alone: `/level3/*` and `/useful/*`.
pub fn cdn_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(cdn::routes(), Family::Cdn, state)
}

/// Apollo's reading side alone: `/services/config`, `/configs/*`, `/configfiles/*` and `/notifications/v2`.
pub fn apollo_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(apollo::routes(), Family::Apollo, state)
}

fn all_routes() -> OpenApiRouter<ApiState> {
    ops::routes()
        .merge(account::routes())
        .merge(config::routes())
        .merge(cdn::routes())
        .merge(apollo::routes())
        .merge(health::routes())
}

fn alone<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<ApiState>,
    family: Family,
    state: ApiState,
) -> (Router<S>, OpenApi) {
    let (routes, paths) = routes.split_for_parts();
    let document = document::complete(paths, &state.settings.prefix);
    (guarded(routes, Some(family), state), document)
}

fn guarded<S: Clone + Send + Sync + 'static>(
    routes: Router<ApiState>,
    family: Option<Family>,
    state: ApiState,
) -> Router<S> {
    let around = from_fn_with_state(Guard { api: state.clone(), family }, guard);
    let all: Router = routes.clone().fallback(no_such_path).layer(around.clone()).with_state(state.clone());
    // A path of no operation may be one of an operation when it is spelt plainly.
    let fallback = move |request| all.oneshot(plain_path(request));
    let origins = state.settings.cors_origins.clone();
    let guarded = routes.layer(around).fallback(fallback).with_state(state);
    let guarded = if origins.is_empty() { guarded } else { guarded.layer(cors::layer(&origins)) };
    guarded.layer(compression::layer())
}
