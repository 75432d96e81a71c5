//! `/level3/domains`: the names of a customer's domains.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Customer whose domains are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DomainsQuery {
    /// The mail of the customer's account, for a caller with group 8; by default the customer is the caller itself.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
}

/// Domains of a customer by name.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnDomains {
    /// Each once, whatever cdns it is on.
    #[schema(example = json!(["cdn.exrqs.com"]))]
    domains: Vec<String>,
}

/// Lists the domains of a customer.
#[utoipa::path(
    get,
    path = "/level3/domains",
    tag = "cdn",
    params(DomainsQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The domains.", body = Done<OwnDomains>)),
)]
pub(super) async fn get_domains(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DomainsQuery>,
) -> Reply<Done<OwnDomains>> {
    done(OwnDomains { domains: api.pilothouse.domains().names(&caller, query.login_email.as_deref()).await? })
}
