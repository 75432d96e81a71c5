//! `/level3/refresh`: purging URLs, or what carries tags, from every edge.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::cdn::{JobKind, JobUrls};
use serde::Deserialize;
use utoipa::ToSchema;

use super::job::{Queued, queued};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply};
use crate::list::List;
use crate::optional_member::selector;
use crate::state::ApiState;

/// URLs to be refreshed, or tags of a domain.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddRefresh {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: String,
    /// 1 to 1000 URLs joined by `|` (a literal bar is `%7C`), each `http` or `https`, at most 2048 bytes, its host a domain
    /// of the customer. The same URL twice is one piece of work. Required, unless `domain` and `tags` are given.
    #[serde(default, deserialize_with = "selector")]
    #[schema(
        value_type = Option<String>,
        min_length = 1,
        example = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html"
    )]
    path: Option<String>,
    /// Domain of the customer whose `tags` are purged.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 253)]
    domain: Option<String>,
    /// 1 to 30 tags of `domain`, each not empty, at most 1024 bytes and printable ASCII without blanks, commas and bars.
    #[serde(default, deserialize_with = "selector")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 30)]
    tags: Option<List>,
}

impl AddRefresh {
    fn urls(&self) -> Result<JobUrls, Error> {
        match (&self.path, &self.domain, &self.tags) {
            (Some(path), None, None) => JobUrls::parse(JobKind::Refresh, path),
            (None, Some(domain), Some(List(tags))) => JobUrls::tags(domain, tags),
            (None, None, None) => Err(Error::invalid("path", "is required")),
            (None, None, Some(_)) => Err(Error::invalid("domain", "is required beside tags")),
            (None, Some(_), None) => Err(Error::invalid("tags", "is required beside domain")),
            (Some(_), _, _) => Err(Error::invalid("path", "must not stand beside domain and tags")),
        }
    }
}

/// Queues a purge of URLs on every cdn that serves them. A URL that ends in `*` purges everything that begins with it, where
/// the cdn's provider can; `domain` and `tags` in place of `path` purge what carries one of the tags, where it can: Cloudflare,
/// in the whole zone of the domain, and own edges that are all Varnish. Refused is refused: then nothing is queued.
#[utoipa::path(
    post,
    path = "/level3/refresh",
    tag = "cdn",
    request_body = AddRefresh,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself, with operations; group 8 for others"))),
    responses((status = 200, description = "The jobs, by cdn and batch.", body = Done<Queued>)),
)]
pub(super) async fn post_refresh(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(add): Args<AddRefresh>,
) -> Reply<Done<Queued>> {
    let jobs = api.pilothouse.jobs().add(&caller, &add.login_email, &add.urls()?).await?;
    queued(&api.pilothouse, jobs)
}
