//! `/admin/token`: one's own tokens, and for administrators those of others.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{Scope, Token, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::optional_member::selector;
use crate::state::ApiState;

/// A token; never the secret itself.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenInfo {
    /// Identifies the token; not a secret.
    #[schema(example = 1)]
    id: i64,
    /// Time of the log-in in unix seconds.
    #[schema(example = 1_480_471_675)]
    created: i64,
    /// Expiry in unix seconds.
    #[schema(example = 1_480_514_875)]
    expires: i64,
    /// Time of the last use in unix seconds; 0 before the first.
    #[schema(example = 0)]
    last_used: i64,
    /// Client address of the log-in; empty when unknown.
    #[schema(example = "192.0.2.1")]
    address: String,
    /// `account`, `cdn` for one that opens only the cdn family, `console`, or `api` for an API token.
    #[schema(pattern = "^(account|cdn|console|api)$", example = "account")]
    scope: &'static str,
    /// Name of an API token; empty for others.
    #[schema(example = "")]
    name: String,
}

impl From<Token> for TokenInfo {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.0,
            created: token.created.timestamp(),
            expires: token.expires.timestamp(),
            last_used: token.last_used.as_ref().map_or(0, DateTime::<Utc>::timestamp),
            address: token.address.map(|address| address.to_string()).unwrap_or_default(),
            scope: match token.scope {
                Scope::Account => "account",
                Scope::Cdn => "cdn",
                Scope::Console | Scope::ConsoleCdn => "console",
                Scope::Api => "api",
            },
            name: token.name,
        }
    }
}

/// Whose tokens to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TokenQuery {
    /// Name of another account.
    #[serde(default, deserialize_with = "selector")]
    #[param(min_length = 1, max_length = 254, example = "xxx")]
    pub(super) name: Option<String>,
}

/// Lists one's own tokens, or those of the account of that name. Needs a log-in.
#[utoipa::path(
    get,
    path = "/admin/token",
    tag = "ops",
    params(TokenQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 7 for others"))),
    responses((status = 200, description = "The tokens, by id.", body = Info<Vec<TokenInfo>>)),
)]
pub(super) async fn get_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TokenQuery>,
) -> Reply<Info<Vec<TokenInfo>>> {
    let tokens = api.pilothouse.tokens().list(&caller, query.name.as_deref()).await?;
    info(tokens.into_iter().map(TokenInfo::from).collect())
}

/// Token to revoke.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteToken {
    /// Identifies the token; not a secret.
    #[param(example = 1)]
    pub(super) id: i64,
    /// Name of another account, whose token it is.
    #[serde(default, deserialize_with = "selector")]
    #[param(min_length = 1, max_length = 254, example = "xxx")]
    pub(super) name: Option<String>,
}

/// Revokes one of one's own tokens, or of the account of that name. Needs a log-in.
#[utoipa::path(
    delete,
    path = "/admin/token",
    tag = "ops",
    params(DeleteToken),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 7 for others"))),
    responses((status = 200, description = "`delete token ok`.", body = Info<String>)),
)]
pub(super) async fn delete_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteToken>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.tokens().revoke(&caller, query.name.as_deref(), TokenId(query.id)).await?;
    info("delete token ok")
}
