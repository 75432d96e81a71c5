//! `/level3/*` and `/useful/*`: the cdns, their customers, what customers do with their domains, and the traffic of these.

mod alarm;
mod customers;
mod purge;
mod traffic;

use chrono::{DateTime, Utc};
use pilothouse_core::Pilothouse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(customers::routes())
        .merge(traffic::routes())
        .merge(purge::routes())
        .merge(alarm::routes())
}

/// Customer that a request is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    /// The mail of the customer's account.
    #[param(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
}

/// Success without content.
#[derive(Serialize, ToSchema)]
struct Nothing {}

/// `YYYY/MM/DD HH:MM:SS` in the server's zone.
fn time(pilothouse: &Pilothouse, at: DateTime<Utc>) -> String {
    at.with_timezone(&pilothouse.settings().timezone).format("%Y/%m/%d %H:%M:%S").to_string()
}
