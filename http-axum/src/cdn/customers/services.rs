//! `/level3/services`: the domains that the provider of a cdn serves, for operators.

use axum::extract::State;
use pilothouse_core::ports::ServedDomain;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Cdn whose services are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ServicesQuery {
    /// The cdn, by name.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "level3")]
    cdn: String,
}

/// A domain that a provider serves.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceRow {
    /// The domain, also one that no customer has.
    #[schema(example = "cdn.exrqs.com")]
    domain: String,
    /// Group that it is in: Tencent's area, Alibaba Cloud's coverage, Cloudflare's zone, CloudFront's distribution; empty where
    /// there are none.
    #[schema(example = "mainland")]
    group: String,
    /// Service in the provider's words: Tencent's and Alibaba Cloud's kind of content, Cloudflare's plan; empty where it names
    /// none.
    #[schema(example = "web")]
    service: String,
}

/// Services of a cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceList {
    /// Served domains, ordered by name.
    results: Vec<ServiceRow>,
}

/// Lists the domains that the provider of a cdn serves, with their groups and services, as the last sync recorded them.
#[utoipa::path(
    get,
    path = "/level3/services",
    tag = "cdn",
    params(ServicesQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "The services.", body = Done<ServiceList>)),
)]
pub(super) async fn get_services(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<ServicesQuery>,
) -> Reply<Done<ServiceList>> {
    let served = api.pilothouse.cdn_services().list(&caller, &query.cdn).await?;
    let row = |ServedDomain { domain, group, service }| ServiceRow { domain, group, service };
    done(ServiceList { results: served.into_iter().map(row).collect() })
}
