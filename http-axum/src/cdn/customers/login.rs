//! `/level3/login`, `/level3/logout` and `/level3/logincheck`.

use axum::extract::State;
use pilothouse_core::Error;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::Args;
use crate::caller::{Bearer, PeerAddress};
use crate::cdn::Nothing;
use crate::envelope::{Done, Reply, done};
use crate::middleware::Writes;
use crate::state::ApiState;

/// Credentials of the cdn family.
#[derive(Deserialize, ToSchema)]
pub(super) struct CdnLogin {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// Password for the cdn family.
    #[schema(max_length = 1024, example = "12345678")]
    password: String,
}

/// Access token of the cdn family.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnLoggedIn {
    /// The bearer token: 64 hexadecimal digits.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09"
    )]
    token: String,
    /// Mail of the customer.
    #[schema(example = "user@example.com")]
    user: String,
    /// Expiry in unix seconds.
    #[schema(example = 1_480_514_875)]
    expires: i64,
}

/// Issues a token for the cdn family alone.
#[utoipa::path(
    post,
    path = "/level3/login",
    tag = "cdn",
    request_body = CdnLogin,
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "The token.", body = Done<CdnLoggedIn>)),
)]
pub(super) async fn post_login(
    State(api): State<ApiState>,
    PeerAddress(address): PeerAddress,
    Args(login): Args<CdnLogin>,
) -> Reply<Done<CdnLoggedIn>> {
    let CdnLogin { login_email, password } = login;
    let access = api.pilothouse.cdn_logins().login(&login_email, &password, address).await?;
    let (user, expires) = (access.account.mail, access.expires.timestamp());
    done(CdnLoggedIn { token: access.token, user, expires })
}

/// The token a request is about; where it is missing, the one in the `Authorization` header.
#[derive(Deserialize, ToSchema)]
pub(super) struct TokenArgument {
    /// Token to check or to revoke.
    #[schema(max_length = 1024)]
    token: Option<String>,
}

impl TokenArgument {
    fn or(self, bearer: Option<String>) -> Result<String, Error> {
        match (self.token, bearer) {
            (Some(token), Some(bearer)) if token != bearer => {
                Err(Error::invalid("token", "is not the one in the Authorization header"))
            }
            (Some(token), _) | (None, Some(token)) => Ok(token),
            (None, None) => Err(Error::invalid("token", "is required, here or as Authorization: Bearer")),
        }
    }
}

/// Ends a token of this service; one that has ended already is no error.
#[utoipa::path(
    method(get, post),
    path = "/level3/logout",
    tag = "cdn",
    request_body = Option<TokenArgument>,
    security((), ("bearer" = [])),
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "Ended.", body = Done<Nothing>)),
)]
pub(super) async fn logout(
    State(api): State<ApiState>,
    _: Writes,
    PeerAddress(address): PeerAddress,
    Bearer(bearer): Bearer,
    Args(argument): Args<TokenArgument>,
) -> Reply<Done<Nothing>> {
    api.pilothouse.cdn_logins().logout(&argument.or(bearer)?, address).await?;
    done(Nothing {})
}

/// Whether a token opens anything.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnLoginState {
    /// Whether the token is alive.
    #[schema(example = true)]
    online: bool,
    /// Mail of the customer; empty when the token has ended.
    #[schema(example = "user@example.com")]
    user: String,
}

/// Tells whether a token of this service opens anything, and whose it is.
#[utoipa::path(
    method(get, post),
    path = "/level3/logincheck",
    tag = "cdn",
    request_body = Option<TokenArgument>,
    security((), ("bearer" = [])),
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "The state of the token.", body = Done<CdnLoginState>)),
)]
pub(super) async fn logincheck(
    State(api): State<ApiState>,
    Bearer(bearer): Bearer,
    Args(argument): Args<TokenArgument>,
) -> Reply<Done<CdnLoginState>> {
    let account = api.pilothouse.cdn_logins().check(&argument.or(bearer)?).await?;
    done(CdnLoginState {
        online: account.is_some(),
        user: account.map(|account| account.mail).unwrap_or_default(),
    })
}
