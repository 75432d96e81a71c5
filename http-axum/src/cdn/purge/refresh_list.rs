//! `/level3/refresh_list`: how a customer's refreshes stand.

use axum::extract::State;
use pilothouse_core::cdn::JobKind;

use super::job::{JobList, listed};
use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::Named;
use crate::envelope::{Done, Reply};
use crate::state::ApiState;

/// Lists a customer's newest 1000 refreshes, newest first. Those that have ended are kept for 92 days.
#[utoipa::path(
    get,
    path = "/level3/refresh_list",
    tag = "cdn",
    params(Named),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The jobs.", body = Done<JobList>)),
)]
pub(super) async fn get_refresh_list(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(named): Args<Named>,
) -> Reply<Done<JobList>> {
    let jobs = api.pilothouse.jobs().list(&caller, JobKind::Refresh, &named.login_email).await?;
    listed(&api.pilothouse, jobs)
}
