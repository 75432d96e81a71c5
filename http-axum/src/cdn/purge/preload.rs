//! `/level3/preload`: having every edge fetch URLs.

use axum::extract::State;
use pilothouse_core::cdn::{JobKind, JobUrls};
use serde::Deserialize;
use utoipa::ToSchema;

use super::job::{Queued, queued};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply};
use crate::state::ApiState;

/// URLs to be preloaded.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddPreload {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// 1 to 1000 URLs joined by `|` (a literal bar is `%7C`), each `http` or `https`, at most 2048 bytes, its host a domain
    /// of the customer. The same URL twice is one piece of work.
    #[schema(min_length = 1, example = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html")]
    path: String,
}

/// Queues the fetching of URLs by every edge of every cdn that serves them. No URL may end in `*`. Refused is refused: then
/// nothing is queued.
#[utoipa::path(
    post,
    path = "/level3/preload",
    tag = "cdn",
    request_body = AddPreload,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself, with operations; group 8 for others"))),
    responses((status = 200, description = "The jobs, by cdn and batch.", body = Done<Queued>)),
)]
pub(super) async fn post_preload(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(add): Args<AddPreload>,
) -> Reply<Done<Queued>> {
    let AddPreload { login_email, path } = add;
    let urls = JobUrls::parse(JobKind::Preload, &path)?;
    let jobs = api.pilothouse.jobs().add(&caller, &login_email, &urls).await?;
    queued(&api.pilothouse, jobs)
}
