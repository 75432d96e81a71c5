//! `/level3/jobs` and `/level3/job/retry`: the jobs of all customers, for operators.

use axum::extract::State;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::{JobQuery, JobState, JobSummary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::task::TaskQuery;
use crate::args::{AnywhereArgs, Args};
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, Reply, done};
use crate::optional_member::selector;
use crate::page::{ListReply, listed, page};
use crate::state::ApiState;

/// Filter and page of the jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsQuery {
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    count: Option<i64>,
    /// Only rows with an id less than this: the page after one that ended with it.
    #[param(minimum = 0, example = 1_000_000)]
    before: Option<i64>,
    /// Whether the header `X-Total-Count` is to say how many rows the whole list has.
    #[param(default = false, example = true)]
    total: Option<bool>,
    /// Only jobs of the customer with this mail.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Only `running`, `done` or `failed` ones.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(running|done|failed)$", example = "failed")]
    state: Option<String>,
    /// Only jobs with a URL of this host; an international name as the URL spells it.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: Option<String>,
    /// Only jobs with a URL that holds this, letter by letter.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 2048, example = "/test")]
    text: Option<String>,
}

/// A refresh or preload of a customer.
#[derive(Serialize, ToSchema)]
pub(super) struct JobRow {
    /// Number that orders the list, for `before`.
    #[schema(example = 42)]
    id: i64,
    /// Task id, for `/level3/task` and `/level3/job/retry`.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// The mail of the customer's account.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// Kind of the job: `refresh` or `preload`.
    #[schema(example = "refresh", pattern = "^(refresh|preload)$")]
    kind: &'static str,
    /// Number of its URLs.
    #[schema(example = 2)]
    urls: i64,
    /// The cdns that it concerns; a request for URLs on several cdns is a job on each.
    #[schema(example = json!(["level3"]))]
    cdns: Vec<String>,
    /// `running`: there is work left. `done`: every edge confirmed every URL. `failed`: nothing is left to try.
    #[schema(example = "running", pattern = "^(running|done|failed)$")]
    state: &'static str,
    /// Share that the edges have confirmed: 0 to 100.
    #[schema(minimum = 0, maximum = 100, example = 50)]
    percent: i64,
    /// Reason why it is not done; empty where there is nothing to say.
    #[schema(example = "edge-2: connection refused")]
    reason: String,
    /// Time of its acceptance, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    time: String,
}

/// Jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct JobPage {
    /// A page of them.
    results: Vec<JobRow>,
}

fn row(pilothouse: &Pilothouse, job: JobSummary) -> JobRow {
    let JobSummary { id, task_id, kind, mail, cdn, urls, created, state, percent, reason } = job;
    JobRow {
        id: id.0,
        taskid: task_id,
        login_email: mail,
        kind: kind.as_str(),
        urls,
        cdns: vec![cdn],
        state: state.listed_name(),
        percent,
        reason,
        time: time(pilothouse, created),
    }
}

/// Lists the refreshes and preloads of all customers, newest first. A search for a domain or text looks at the newest 20,000.
#[utoipa::path(
    get,
    path = "/level3/jobs",
    tag = "cdn",
    params(JobsQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200,
        description = "The jobs.",
        body = Done<JobPage>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it; of a search, of the rows looked at."),
            ("X-Search-Before" = i64, description = "The `before` with which a search goes on that has not looked at every row."),
        ),
    )),
)]
pub(super) async fn get_jobs(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<JobsQuery>,
) -> ListReply<Done<JobPage>> {
    let JobsQuery { start, count, before, total, login_email, state, domain, text } = query;
    let page = page((start, count, before), Some("newest"), total)?;
    let state = state.map(|name| JobState::from_listed_name(&name)).transpose()?;
    let query = JobQuery { login_email, state, domain, text };
    let found = api.pilothouse.jobs().list_all(&caller, &query, page).await?;
    listed(found, page, |job| row(&api.pilothouse, job), |results| done(JobPage { results }))
}

/// What is tried again of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct Retried {
    /// Task id.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// Number of cells, URLs on edges, that are tried again; 0 where none had failed.
    #[schema(example = 3)]
    retried: usize,
}

/// Tries again what failed of a refresh or preload. What was confirmed stays so, and what is still tried goes on.
#[utoipa::path(
    post,
    path = "/level3/job/retry",
    tag = "cdn",
    params(TaskQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((status = 200, description = "What is tried again.", body = Done<Retried>)),
)]
pub(super) async fn post_job_retry(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    AnywhereArgs(TaskQuery { taskid }): AnywhereArgs<TaskQuery>,
) -> Reply<Done<Retried>> {
    let retried = api.pilothouse.jobs().retry(&caller, &taskid).await?;
    done(Retried { taskid, retried })
}
