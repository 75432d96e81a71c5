//! `/level3/user_domains`: which domains a customer holds.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::cdn::{CdnDomains, CdnId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::{AnywhereArgs, Args};
use crate::caller::Auth;
use crate::cdn::Named;
use crate::envelope::{Done, Reply, done};
use crate::list::List;
use crate::state::ApiState;

/// A customer and its domains.
#[derive(Serialize, ToSchema)]
pub(super) struct UserDomains {
    /// The mail of its account.
    #[schema(example = "user@example.com")]
    user: String,
    /// Whether it may refresh and preload.
    #[schema(example = true)]
    operate_right: bool,
    /// An entry per cdn it is mapped to.
    results: Vec<CdnStates>,
}

/// The domains on one cdn, with their states.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnStates {
    /// Names of the domains.
    domains: Vec<DomainState>,
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
}

/// A domain and its state.
#[derive(Serialize, ToSchema)]
pub(super) struct DomainState {
    /// Name of the domain.
    #[schema(example = "ktest.com")]
    domain: String,
    /// `Active`: the cdn's provider serves it. `Pending`: not seen there yet. `Offline`: no longer.
    #[schema(example = "Active", pattern = "^(Active|Pending|Offline)$")]
    state: &'static str,
}

impl From<CdnDomains> for CdnStates {
    fn from(CdnDomains { cdn, domains }: CdnDomains) -> Self {
        let domains = domains.into_iter();
        let domains =
            domains.map(|domain| DomainState { domain: domain.name, state: domain.state.as_str() }).collect();
        Self { domains, cdn: cdn.name }
    }
}

/// Lists a customer's domains.
#[utoipa::path(
    get,
    path = "/level3/user_domains",
    tag = "cdn",
    params(Named),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The customer and its domains.", body = Done<UserDomains>)),
)]
pub(super) async fn get_user_domains(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(named): Args<Named>,
) -> Reply<Done<UserDomains>> {
    let (customer, domains) = api.pilothouse.domains().list(&caller, &named.login_email).await?;
    done(UserDomains {
        user: customer.mail,
        operate_right: customer.operations,
        results: domains.into_iter().map(CdnStates::from).collect(),
    })
}

/// All domains of a customer after a change.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultingDomains {
    /// An entry per cdn it is mapped to.
    results: Vec<CdnNames>,
}

/// The domains on one cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnNames {
    /// Names of the domains.
    #[schema(example = json!(["ktest.com", "ctest.com"]))]
    domains: Vec<String>,
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
}

fn resulting(held: Vec<CdnDomains>) -> Reply<Done<ResultingDomains>> {
    let results = held.into_iter().map(|CdnDomains { cdn, domains }| CdnNames {
        domains: domains.into_iter().map(|domain| domain.name).collect(),
        cdn: cdn.name,
    });
    done(ResultingDomains { results: results.collect() })
}

/// Domains to be added.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddDomains {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// Name of the cdn.
    #[schema(min_length = 1, max_length = 64, example = "level3")]
    cdn: String,
    /// 1 to 1000 host names, each at most 253 bytes.
    domains: List,
}

/// Adds domains to a customer, and maps it to the cdn. A domain that another customer holds there is refused, and then
/// nothing changes.
#[utoipa::path(
    post,
    path = "/level3/user_domains",
    tag = "cdn",
    request_body = AddDomains,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "All domains of the customer.", body = Done<ResultingDomains>)),
)]
pub(super) async fn post_user_domains(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(add): Args<AddDomains>,
) -> Reply<Done<ResultingDomains>> {
    let AddDomains { login_email, cdn, domains } = add;
    resulting(api.pilothouse.domains().add(&caller, &login_email, &cdn, &domains.0).await?)
}

/// The domains a customer shall have, on one cdn or on several: `cdn`, or `cdns`, or both where they agree.
#[derive(Deserialize, ToSchema)]
pub(super) struct ReplaceDomains {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// Name of the cdn.
    #[schema(min_length = 1, max_length = 64, example = "level3")]
    cdn: Option<String>,
    /// The cdns, each of which gets the same domains: at most 100.
    #[schema(example = json!(["level3", "qcloud"]))]
    cdns: Option<List>,
    /// The id of the cdn, where one is named.
    id: Option<i64>,
    /// Up to 1000 host names, each at most 253 bytes.
    domains: List,
}

/// Replaces a customer's domains on the cdns named. A domain that another customer holds there is refused, and then
/// nothing changes.
#[utoipa::path(
    put,
    path = "/level3/user_domains",
    tag = "cdn",
    params(("id" = Option<i64>, Query, example = 1, description = "The id of the cdn, unless the body has it.")),
    request_body = ReplaceDomains,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "All domains of the customer.", body = Done<ResultingDomains>)),
)]
pub(super) async fn put_user_domains(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    AnywhereArgs(replace): AnywhereArgs<ReplaceDomains>,
) -> Reply<Done<ResultingDomains>> {
    let ReplaceDomains { login_email, cdn, cdns, id, domains } = replace;
    let cdns = match (cdn, cdns) {
        (Some(cdn), None) => vec![cdn],
        (None, Some(List(cdns))) => cdns,
        (Some(cdn), Some(List(cdns))) if cdns.iter().all(|named| *named == cdn) => vec![cdn],
        (None, None) => return Err(Error::invalid("cdns", "is required, or cdn").into()),
        (Some(_), Some(_)) => return Err(Error::invalid("cdns", "is not the same as cdn").into()),
    };
    resulting(
        api.pilothouse.domains().replace(&caller, &login_email, &cdns, id.map(CdnId), &domains.0).await?,
    )
}
