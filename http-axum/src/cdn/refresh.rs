//! `/level3/refresh`: purging URLs from every edge.

use axum::extract::State;
use pilothouse_core::cdn::JobKind;

use super::job::{AddJobs, Queued, queued};
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Done, Reply};
use crate::state::ApiState;

/// Queues a purge of URLs on every cdn that serves them. A URL that ends in `*` purges everything that begins with it, where
/// the cdn's provider can. Refused is refused: then nothing is queued.
#[utoipa::path(
    post,
    path = "/level3/refresh",
    tag = "cdn",
    request_body = AddJobs,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself, with operations; group 8 for others"))),
    responses((status = 200, description = "The jobs, by cdn and batch.", body = Done<Queued>)),
)]
pub(super) async fn post_refresh(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(add): Args<AddJobs>,
) -> Reply<Done<Queued>> {
    let AddJobs { login_email, path } = add;
    let jobs = api.pilothouse.jobs().add(&caller, JobKind::Refresh, &login_email, &path).await?;
    queued(&api.pilothouse, jobs)
}
