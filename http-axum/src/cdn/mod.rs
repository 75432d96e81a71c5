//! `/level3/*` and `/useful/*`: the cdns, their customers, what customers do with their domains, and the traffic of these.

mod area;
mod billing;
#[expect(clippy::module_inception, reason = "the operation carries the family's name")]
mod cdn;
mod company;
mod domains;
mod edge_logs;
mod edges;
mod job;
mod log;
mod logdownload;
mod login;
mod preload;
mod preload_list;
mod refresh;
mod refresh_list;
mod series;
mod task;
mod traffic_args;
mod user;
mod user_cdns;
mod user_domains;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(login::post_login))
        .routes(routes!(login::post_logout))
        .routes(routes!(login::get_logincheck))
        .routes(routes!(domains::get_domains))
        .routes(routes!(user::post_cdn_user, user::delete_cdn_user))
        .routes(routes!(user::post_cdn_user_update))
        .routes(routes!(
            user_domains::get_user_domains,
            user_domains::post_user_domains,
            user_domains::put_user_domains
        ))
        .routes(routes!(user_cdns::get_user_cdns, user_cdns::post_user_cdns))
        .routes(routes!(company::post_create_company))
        .routes(routes!(series::get_bandwidths))
        .routes(routes!(series::get_fluxs))
        .routes(routes!(series::get_stats))
        .routes(routes!(billing::get_billing))
        .routes(routes!(area::get_bandwidths_area))
        .routes(routes!(area::get_fluxs_area))
        .routes(routes!(logdownload::get_logdownload))
        .routes(routes!(log::get_log))
        .routes(routes!(edge_logs::post_edge_logs))
        .routes(routes!(refresh::post_refresh))
        .routes(routes!(preload::post_preload))
        .routes(routes!(refresh_list::get_refresh_list))
        .routes(routes!(preload_list::get_preload_list))
        .routes(routes!(task::get_task))
        .routes(routes!(edges::get_edges))
        .merge(cdn::routes())
}

/// Whom a request is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    /// The mail of the customer's account.
    #[param(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
}

/// Nothing but success.
#[derive(Serialize, ToSchema)]
struct Nothing {}

/// One text, or a list of them.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be text or a list of texts")]
enum OneOrMany {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(texts: OneOrMany) -> Self {
        match texts {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}
