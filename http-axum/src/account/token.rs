//! `/admin/token`: one's own tokens.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{Scope, Token};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// A token; never the secret itself.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenInfo {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// When it was issued, unix seconds.
    #[schema(example = 1_480_471_675)]
    created: i64,
    /// When it ends, unix seconds.
    #[schema(example = 1_480_514_875)]
    expires: i64,
    /// When it last opened a request, unix seconds; 0 before.
    #[schema(example = 0)]
    last_used: i64,
    /// Where it was issued to; empty when unknown.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// `account`, or `cdn` for one that opens only the cdn family.
    #[schema(pattern = "^(account|cdn)$", example = "account")]
    scope: &'static str,
}

impl From<Token> for TokenInfo {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            created: token.created.timestamp(),
            expires: token.expires.timestamp(),
            last_used: token.last_used.as_ref().map_or(0, DateTime::<Utc>::timestamp),
            address: token.address.map(|address| address.to_string()).unwrap_or_default(),
            scope: match token.scope {
                Scope::Account => "account",
                Scope::Cdn => "cdn",
            },
        }
    }
}

/// Lists one's own tokens.
#[utoipa::path(
    get,
    path = "/admin/token",
    tag = "ops",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "The tokens, by id.", body = Info<Vec<TokenInfo>>)),
)]
pub(super) async fn get_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
) -> Reply<Info<Vec<TokenInfo>>> {
    let tokens = api.pilothouse.tokens().list(&caller).await?;
    info(tokens.into_iter().map(TokenInfo::from).collect())
}

/// Which token to revoke.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteToken {
    /// Its id.
    #[param(example = 1)]
    id: i64,
}

/// Revokes one of one's own tokens.
#[utoipa::path(
    delete,
    path = "/admin/token",
    tag = "ops",
    params(DeleteToken),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "`delete token ok`.", body = Info<String>)),
)]
pub(super) async fn delete_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteToken>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.tokens().revoke(&caller, query.id).await?;
    info("delete token ok")
}
