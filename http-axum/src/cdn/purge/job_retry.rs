//! `/level3/job/retry`: what failed of a job or of a whole request is tried again, for operators.

use axum::extract::State;
use pilothouse_core::Error;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::AnywhereArgs;
use crate::caller::Auth;
use crate::envelope::{Done, Reply, done};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Job or request to try again; one of both.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RetryQuery {
    /// Task id of a job.
    #[serde(default, deserialize_with = "selector")]
    #[param(
        value_type = Option<String>,
        pattern = "^[A-Za-z0-9-]{1,64}$",
        example = "refresh-0358c3c78f5211e685855cf9389306a2"
    )]
    taskid: Option<String>,
    /// `taskid` of a row of `/level3/jobs`: all parts of the request.
    #[serde(default, deserialize_with = "selector")]
    #[param(
        value_type = Option<String>,
        pattern = "^[A-Za-z0-9-]{1,64}$",
        example = "refresh-0358c3c78f5211e685855cf9389306a2"
    )]
    request: Option<String>,
}

/// Number of cells of a job or request that a retry made pending.
#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    /// Task id that was given.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// Number of cells, URLs on edges, that are tried again; 0 where none had failed.
    #[schema(example = 3)]
    retried: usize,
}

/// Tries again what failed of a refresh or preload: of one job, or of every part of a request, all or none. What was confirmed
/// stays so, and what is still tried goes on.
#[utoipa::path(
    post,
    path = "/level3/job/retry",
    tag = "cdn",
    params(RetryQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "What is tried again.", body = Done<Retried>)),
)]
pub(super) async fn post_job_retry(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    AnywhereArgs(query): AnywhereArgs<RetryQuery>,
) -> Reply<Done<Retried>> {
    let jobs = api.pilothouse.jobs();
    match (query.taskid, query.request) {
        (Some(taskid), None) => done(Retried { retried: jobs.retry(&caller, &taskid).await?, taskid }),
        (None, Some(taskid)) => {
            done(Retried { retried: jobs.retry_request(&caller, &taskid).await?, taskid })
        }
        (None, None) => Err(Error::invalid("taskid", "is required").into()),
        (Some(_), Some(_)) => Err(Error::invalid("request", "must not stand beside taskid").into()),
    }
}
