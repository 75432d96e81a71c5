//! `/level3/task`: one refresh or preload, edge by edge.

use axum::extract::State;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::JobDetails;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// Refresh or preload to show.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
    /// Task id that refresh or preload answered.
    #[param(pattern = "^[A-Za-z0-9-]{1,64}$", example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
}

/// A refresh or preload.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskProgress {
    /// Task id, as the refresh or preload answered it.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// Task id of the first job of its request.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    request: String,
    /// Share that the edges of all cdns of its request have confirmed: 0 to 100.
    #[serde(rename = "requestPercent")]
    #[schema(minimum = 0, maximum = 100, example = 50)]
    request_percent: i64,
    /// Kind of the job: `refresh` or `preload`.
    #[schema(example = "refresh", pattern = "^(refresh|preload)$")]
    kind: &'static str,
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
    /// Time of its acceptance, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    time: String,
    /// Share that the edges have confirmed: `0` to `100`.
    #[serde(rename = "percentComplete")]
    #[schema(pattern = "^(100|[1-9]?[0-9])$", example = "50")]
    percent_complete: String,
    /// `pending`: there is work left. `done`: every edge confirmed every URL. `failed`: nothing is left to try.
    #[schema(example = "pending", pattern = "^(pending|done|failed)$")]
    state: &'static str,
    /// Reason why it is not done; empty where there is nothing to say.
    #[schema(example = "edge-2: connection refused")]
    reason: String,
    /// A row per URL and edge, in the order of the URLs.
    results: Vec<CellInfo>,
}

/// One URL on one edge.
#[derive(Serialize, ToSchema)]
pub(super) struct CellInfo {
    /// URL as it was given, or a tag as `tag://HOST/TAG`.
    #[schema(example = "http://cdn.exrqs.com/test.html")]
    url: String,
    /// Name of the edge.
    #[schema(example = "edge-2")]
    edge: String,
    /// `pending`: not yet, or to be tried again. `running`: a vendor has it, or it waits for the vendor. `acked`: the edge or
    /// vendor confirmed it. `failed`: it is not tried again.
    #[schema(example = "pending", pattern = "^(pending|running|acked|failed)$")]
    state: &'static str,
    /// Reason of the failure, for good or the last time.
    #[schema(example = "connection refused")]
    reason: String,
    /// Time of the last outcome, in the server's zone; empty before the first attempt.
    #[schema(example = "2016/09/13 15:44:08")]
    time: String,
}

fn progress(pilothouse: &Pilothouse, JobDetails { job, parts, edges }: JobDetails) -> TaskProgress {
    let mut results = Vec::with_capacity(job.urls.len() * edges.len());
    for (n, url) in job.urls.iter().enumerate() {
        for row in &edges {
            let cell = &row.cells[n];
            results.push(CellInfo {
                url: url.clone(),
                edge: row.edge.clone(),
                state: cell.state.as_str(),
                reason: cell.reason.clone(),
                time: cell.at.map(|at| time(pilothouse, at)).unwrap_or_default(),
            });
        }
    }
    TaskProgress {
        taskid: job.task_id,
        request: job.request,
        request_percent: parts.percent(),
        kind: job.kind.as_str(),
        cdn: job.cdn,
        time: time(pilothouse, job.created),
        percent_complete: job.percent.to_string(),
        state: job.state.as_str(),
        reason: job.reason,
        results,
    }
}

/// Shows one refresh or preload, edge by edge. Another customer's does not exist.
#[utoipa::path(
    get,
    path = "/level3/task",
    operation_id = "get_level3_task",
    tag = "cdn",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the customer itself; group 8 for others"))),
    responses((status = 200, description = "The task.", body = Done<TaskProgress>)),
)]
pub(super) async fn get_task(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<TaskQuery>,
) -> Reply<Done<TaskProgress>> {
    let details = api.pilothouse.jobs().find(&caller, &query.taskid).await?;
    done(progress(&api.pilothouse, details))
}
