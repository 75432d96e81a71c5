//! `/admin/*`: accounts, log-ins and tokens.

mod api_token;
mod system;
mod token;
mod user;
mod user_login;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(user::get_user, user::post_user, user::delete_user))
        .routes(routes!(user_login::post_user_login))
        .routes(routes!(user_login::post_user_logout))
        .routes(routes!(token::get_token, token::delete_token))
        .routes(routes!(system::get_system))
        .routes(routes!(api_token::get_api_token, api_token::post_api_token, api_token::delete_api_token))
}
