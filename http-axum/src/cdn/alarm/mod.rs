//! Thresholds of domains, and alarms.

mod alarms;
mod threshold;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(threshold::get_threshold, threshold::post_threshold, threshold::delete_threshold))
        .routes(routes!(alarms::get_alarms))
}
