//! The routers, and the API document that is made with them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::envelope::Family;
use crate::guard::{Guard, guard, no_such_path};
use crate::state::ApiState;
use crate::{account, apollo, cdn, config, docs, document, health, ops};

/// All three families with health checks, `/openapi.json` and `/docs`.
pub fn router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    let (routes, paths) = all_routes().split_for_parts();
    let document = document::complete(paths, &state.settings.prefix);
    (guarded(routes.merge(docs::routes(&document)), None, state), document)
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
    let around = Guard { api: state.clone(), family };
    routes.fallback(no_such_path).layer(from_fn_with_state(around, guard)).with_state(state)
}
