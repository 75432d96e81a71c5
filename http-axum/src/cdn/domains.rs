//! `/level3/domains`: the caller's own domains.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Names of domains.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnDomains {
    /// Each once, whatever cdns it is on.
    #[schema(example = json!(["cdn.exrqs.com"]))]
    domains: Vec<String>,
}

/// Lists the caller's domains.
#[utoipa::path(
    get,
    path = "/level3/domains",
    tag = "cdn",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any customer"))),
    responses((status = 200, description = "The domains.", body = Done<OwnDomains>)),
)]
pub(super) async fn get_domains(State(api): State<ApiState>, Auth(caller): Auth) -> Reply<Done<OwnDomains>> {
    done(OwnDomains { domains: api.pilothouse.domains().own(&caller).await? })
}
