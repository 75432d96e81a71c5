//! The reading side of Apollo's protocol, at the root: programs that have an Apollo client get their configuration here
//! without a change. An `appId` is an app, a `cluster` a profile, a namespace content of its keys.

mod answer;
mod client;
mod configfiles;
mod configs;
mod notifications;
mod services;
mod signature;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

/// Routes of Apollo's paths.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(services::get_services))
        .routes(routes!(configs::get_configs))
        .routes(routes!(configfiles::get_properties))
        .routes(routes!(configfiles::get_json))
        .routes(routes!(configfiles::get_raw))
        .routes(routes!(notifications::get_notifications))
}
