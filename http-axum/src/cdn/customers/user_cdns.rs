//! `/level3/user_cdns`: which cdns a customer is mapped to.

use axum::extract::State;
use pilothouse_core::cdn::Cdn;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::Named;
use crate::envelope::{Done, Reply, done};
use crate::list::List;
use crate::state::ApiState;

/// The cdns of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct UserCdns {
    /// Names of the cdns.
    #[schema(example = json!(["level3"]))]
    cdns: Vec<String>,
}

fn names(cdns: Vec<Cdn>) -> Reply<Done<UserCdns>> {
    done(UserCdns { cdns: cdns.into_iter().map(|cdn| cdn.name).collect() })
}

/// Lists the cdns a customer is mapped to.
#[utoipa::path(
    get,
    path = "/level3/user_cdns",
    tag = "cdn",
    params(Named),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The cdns.", body = Done<UserCdns>)),
)]
pub(super) async fn get_user_cdns(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(named): Args<Named>,
) -> Reply<Done<UserCdns>> {
    names(api.pilothouse.customers().cdns(&caller, &named.login_email).await?)
}

/// Cdns to map a customer to.
#[derive(Deserialize, ToSchema)]
pub(super) struct MapCdns {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// 1 to 100 names of cdns, each of at most 64 bytes.
    cdns: List,
}

/// Maps a customer to cdns, beside those it is mapped to already.
#[utoipa::path(
    post,
    path = "/level3/user_cdns",
    tag = "cdn",
    request_body = MapCdns,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "All cdns of the customer.", body = Done<UserCdns>)),
)]
pub(super) async fn post_user_cdns(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(map): Args<MapCdns>,
) -> Reply<Done<UserCdns>> {
    let cdns = map.cdns.0;
    names(api.pilothouse.customers().map(&caller, &map.login_email, &cdns).await?)
}
