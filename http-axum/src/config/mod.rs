//! `/app/*`, `/userauth/*`, `/config/*`, `/node/*`, `/publish` and `/audit/*`: the configuration centre.
//!
//! Every operation is called by GET or POST; see [`document`] for how that is described.

pub(crate) mod apollo;
mod audit;
mod authoring;
mod delivery;
mod document;
mod write;

use chrono::{DateTime, SecondsFormat, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) use document::describe_post;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(authoring::routes())
        .merge(delivery::routes())
        .routes(routes!(audit::audit_list))
}

impl ApiState {
    /// A time as this family writes it: RFC 3339 to the second, with the offset of the server's zone.
    fn local(&self, time: DateTime<Utc>) -> String {
        let zone = self.pilothouse.settings().timezone;
        time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false)
    }
}
