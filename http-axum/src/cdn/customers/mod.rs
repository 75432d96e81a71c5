//! Customers, their log-ins, their domains and cdns, companies.

mod cdn;
mod companies;
mod company;
mod domains;
mod login;
mod services;
mod user;
mod user_cdns;
mod user_domains;
mod users;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(login::post_login))
        .routes(routes!(login::logout))
        .routes(routes!(login::logincheck))
        .routes(routes!(domains::get_domains))
        .routes(routes!(user::post_cdn_user, user::delete_cdn_user))
        .routes(routes!(user::post_cdn_user_update))
        .routes(routes!(users::get_users))
        .routes(routes!(services::get_services))
        .routes(routes!(
            user_domains::get_user_domains,
            user_domains::post_user_domains,
            user_domains::put_user_domains
        ))
        .routes(routes!(user_cdns::get_user_cdns, user_cdns::post_user_cdns))
        .routes(routes!(company::post_create_company))
        .routes(routes!(companies::get_companies))
        .merge(cdn::routes())
}
