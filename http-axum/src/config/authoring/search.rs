//! `/config/search`: text in keys and values.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use pilothouse_core::Page;
use pilothouse_core::config::{Found, FoundIn, SearchFilter, SearchResult};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Failure, data};
use crate::optional_member::selector;
use crate::state::ApiState;

/// The `start` with which a search goes on.
const X_SEARCH_START: HeaderName = HeaderName::from_static("x-search-start");

/// What to look for, and where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigSearch {
    /// Text that a key or a current value holds, letter by letter; at most 256 bytes.
    #[param(min_length = 1, max_length = 256, example = "sl")]
    q: String,
    /// Name of the app; all that the caller may read where it is not given.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "app1")]
    app: Option<String>,
    /// The profile; all where it is not given.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "dev")]
    profile: Option<String>,
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    count: Option<i64>,
}

/// A config that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FoundInfo {
    /// Id of the config.
    #[schema(example = 1)]
    id: i64,
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// Profile within the app.
    #[schema(example = "dev")]
    profile: String,
    /// Key of the config.
    #[schema(example = "k1")]
    key: String,
    /// `key` where the key holds the text, else `value`.
    #[schema(pattern = "^(key|value)$", example = "value")]
    r#where: &'static str,
    /// Where it first stands, with at most 40 characters before and after it.
    #[schema(example = "sl")]
    excerpt: String,
}

impl From<Found> for FoundInfo {
    fn from(Found { id, app, profile, key, found_in, excerpt, .. }: Found) -> Self {
        let r#where = match found_in {
            FoundIn::Key => "key",
            FoundIn::Value => "value",
        };
        Self { id: id.0, app, profile, key, r#where, excerpt }
    }
}

/// Configs whose key or current value holds a text, by id, in one app or in all that the caller may read.
///
/// A search that has not covered everything, after 100,000 ids or 3 seconds, says in the header `X-Search-Start` with which
/// `start` to go on; after a full page that is the last id plus one.
#[utoipa::path(
    method(get, post),
    path = "/config/search",
    tag = "config",
    params(ConfigSearch),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((
        status = 200,
        description = "What was found.",
        body = Data<Vec<FoundInfo>>,
        headers(("X-Search-Start" = i64, description = "The `start` with which a search goes on that has not covered everything.")),
    )),
)]
pub(super) async fn config_search(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(ConfigSearch { q: text, app, profile, start, count }): Args<ConfigSearch>,
) -> Result<Response, Failure> {
    let page = Page::new(start, count)?;
    let filter = SearchFilter { text, app, profile };
    let SearchResult { found, search_start, .. } =
        api.pilothouse.items().search(&caller, &filter, page).await?;
    let rows: Json<_> = data(found.into_iter().map(FoundInfo::from).collect::<Vec<_>>())?;
    Ok(match search_start {
        Some(start) => ([(X_SEARCH_START, start.to_string())], rows).into_response(),
        None => rows.into_response(),
    })
}
