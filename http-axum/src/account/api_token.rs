//! `/admin/api_token`: tokens for programs, named and limited.

use axum::extract::State;
use chrono::{DateTime, Utc};
use pilothouse_core::account::{NewApiToken, Scope, Token, TokenId, TokenLimits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::token::{DeleteToken, TokenQuery};
use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::list::List;
use crate::state::ApiState;

/// An API token; never the secret itself.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiTokenInfo {
    /// Identifies the token; not a secret.
    #[schema(example = 1)]
    id: i64,
    /// Name among the tokens of its owner.
    #[schema(example = "ci")]
    name: String,
    /// Groups that it opens, where its owner has them.
    #[schema(example = "1,2")]
    permissions: String,
    /// Apps of the configuration centre that it opens; null for all.
    #[schema(example = json!(["app1"]))]
    apps: Option<Vec<String>>,
    /// Profiles that it opens; null for all.
    #[schema(example = json!(["dev"]))]
    profiles: Option<Vec<String>>,
    /// Whether it opens the cdn family.
    #[schema(example = false)]
    cdn: bool,
    /// Time it was made in unix seconds.
    #[schema(example = 1_480_471_675)]
    created: i64,
    /// Expiry in unix seconds.
    #[schema(example = 1_488_247_675)]
    expires: i64,
    /// Time of the last use in unix seconds; 0 before the first.
    #[schema(example = 0)]
    last_used: i64,
}

impl From<Token> for ApiTokenInfo {
    fn from(token: Token) -> Self {
        let TokenLimits { groups, apps, profiles, cdn } =
            token.limits.as_deref().cloned().unwrap_or_default();
        Self {
            id: token.id.0,
            name: token.name,
            permissions: groups.to_string(),
            apps,
            profiles,
            cdn,
            created: token.created.timestamp(),
            expires: token.expires.timestamp(),
            last_used: token.last_used.as_ref().map_or(0, DateTime::<Utc>::timestamp),
        }
    }
}

/// Lists one's own API tokens, or those of the account of that name. Needs a log-in.
#[utoipa::path(
    get,
    path = "/admin/api_token",
    tag = "ops",
    params(TokenQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 7 for others"))),
    responses((status = 200, description = "The API tokens, by id.", body = Info<Vec<ApiTokenInfo>>)),
)]
pub(super) async fn get_api_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TokenQuery>,
) -> Reply<Info<Vec<ApiTokenInfo>>> {
    let mut tokens = api.pilothouse.tokens().list(&caller, query.name.as_deref()).await?;
    tokens.retain(|token| token.scope == Scope::Api);
    info(tokens.into_iter().map(ApiTokenInfo::from).collect())
}

/// Body of `/admin/api_token`: one action on API tokens.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostApiToken {
    /// Makes a token.
    Add(AddApiToken),
}

/// An API token to make. What is not given is not opened.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddApiToken {
    /// Name, which no other token of its owner has.
    #[schema(min_length = 1, max_length = 64, example = "ci")]
    name: String,
    /// Groups that it opens, separated by commas; the caller must have them.
    #[schema(pattern = "^([1-9](,[1-9])*)?$", example = "1,2")]
    permissions: Option<String>,
    /// Apps of the configuration centre that it opens, at most 100; `*` for all.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["app1"]))]
    apps: Option<List>,
    /// Profiles of these apps that it opens, at most 100; all of them, and what concerns a whole app, where it is not given.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, example = json!(["dev"]))]
    profiles: Option<List>,
    /// Whether it opens the cdn family.
    #[schema(example = false)]
    cdn: Option<bool>,
    /// Days until it expires.
    #[schema(minimum = 1, maximum = 366, example = 90)]
    days: i64,
}

/// The new API token.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedTokenInfo {
    /// Identifies the token; not a secret.
    #[schema(example = 1)]
    id: i64,
    /// The bearer token, which is shown only here.
    #[schema(
        pattern = "^ph_[0-9a-f]{64}$",
        example = "ph_0358c3c78f5211e685855cf9389306a20358c3c78f5211e685855cf9389306a2"
    )]
    token: String,
    /// Expiry in unix seconds.
    #[schema(example = 1_488_247_675)]
    expires: i64,
}

/// Makes an API token of the caller's. Needs a log-in.
#[utoipa::path(
    post,
    path = "/admin/api_token",
    tag = "ops",
    request_body = PostApiToken,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account"))),
    responses((status = 200, description = "The new token.", body = Info<IssuedTokenInfo>)),
)]
pub(super) async fn post_api_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<IssuedTokenInfo>> {
    action.verb(&["add"])?;
    let AddApiToken { name, permissions, apps, profiles, cdn, days } = action.data()?;
    let limits = TokenLimits {
        groups: permissions.unwrap_or_default().parse()?,
        apps: apps.map_or(Some(Vec::new()), named),
        profiles: profiles.and_then(named),
        cdn: cdn.unwrap_or(false),
    };
    let issued = api.pilothouse.tokens().issue(&caller, NewApiToken { name, limits, days }).await?;
    info(IssuedTokenInfo { id: issued.id.0, token: issued.token, expires: issued.expires.timestamp() })
}

/// The names of a list; `None` for all of them, which is `*`.
fn named(List(names): List) -> Option<Vec<String>> {
    if names == ["*"] { None } else { Some(names) }
}

/// Ends an API token of the caller's, or of the account of that name. Needs a log-in.
#[utoipa::path(
    delete,
    path = "/admin/api_token",
    tag = "ops",
    params(DeleteToken),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any account; group 7 for others"))),
    responses((status = 200, description = "`delete api token ok`.", body = Info<String>)),
)]
pub(super) async fn delete_api_token(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteToken>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.tokens().revoke(&caller, query.name.as_deref(), TokenId(query.id)).await?;
    info("delete api token ok")
}
