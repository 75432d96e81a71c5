//! `/admin/user_login` issues an access token, `/admin/user_logout` revokes it.

use axum::extract::State;
use pilothouse_core::Error;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::{Args, NoArgs};
use crate::caller::{Auth, PeerAddress};
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// Credentials of an account.
#[derive(Deserialize, ToSchema)]
pub(super) struct UserLogin {
    /// The account's name or mail.
    #[schema(min_length = 1, max_length = 254, example = "xxx")]
    name: Option<String>,
    /// The same under the name that the document's explanation uses.
    #[schema(min_length = 1, max_length = 254, example = "xxx")]
    username: Option<String>,
    /// Password; never accepted in a query string.
    #[schema(max_length = 1024, example = "12345678")]
    password: String,
}

/// Access token of a log-in.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// The bearer token: 64 hexadecimal digits.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09"
    )]
    access_token: String,
}

/// Issues a token for the whole account.
#[utoipa::path(
    post,
    path = "/admin/user_login",
    tag = "ops",
    request_body = UserLogin,
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "The token.", body = Info<Token>)),
)]
pub(super) async fn post_user_login(
    State(api): State<ApiState>,
    PeerAddress(address): PeerAddress,
    Args(login): Args<UserLogin>,
) -> Reply<Info<Token>> {
    let name = match (login.name, login.username) {
        (Some(name), Some(username)) if name != username => {
            return Err(Error::invalid("username", "is not the same as name").into());
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(Error::invalid("name", "is required").into()),
    };
    let access = api.pilothouse.logins().login(&name, &login.password, address).await?;
    info(Token { access_token: access.token })
}

/// Revokes the token it is called with.
#[utoipa::path(
    post,
    path = "/admin/user_logout",
    tag = "ops",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "`logout ok`.", body = Info<String>)),
)]
pub(super) async fn post_user_logout(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.tokens().logout(&caller).await?;
    info("logout ok")
}
