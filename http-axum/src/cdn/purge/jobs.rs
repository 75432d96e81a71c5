//! `/level3/jobs`: the requests of all customers with their jobs, for operators.

use axum::extract::State;
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::{JobPart, JobQuery, JobRequest, JobState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::cdn::time;
use crate::envelope::{Done, done};
use crate::optional_member::selector;
use crate::page::{ListReply, listed, page};
use crate::state::ApiState;

/// Filter and page of the requests.
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
    /// Only requests of the customer with this mail.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 3, max_length = 254, example = "user@example.com")]
    login_email: Option<String>,
    /// Only `running`, `done` or `failed` ones.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, pattern = "^(running|done|failed)$", example = "failed")]
    state: Option<String>,
    /// Only requests with a URL of this host; an international name as the URL spells it.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 253, example = "cdn.exrqs.com")]
    domain: Option<String>,
    /// Only requests with a URL that holds this, letter by letter.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 2048, example = "/test")]
    text: Option<String>,
}

/// A request of a customer for a refresh or preload, over all its cdns.
#[derive(Serialize, ToSchema)]
pub(super) struct JobRow {
    /// Number that orders the list, for `before`.
    #[schema(example = 42)]
    id: i64,
    /// Task id of its first job, by which `/level3/job/retry` knows the `request`.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// The mail of the customer's account.
    #[schema(example = "user@example.com")]
    login_email: String,
    /// Kind of its jobs: `refresh` or `preload`.
    #[schema(example = "refresh", pattern = "^(refresh|preload)$")]
    kind: &'static str,
    /// Number of its URLs, each counted on each of its cdns.
    #[schema(example = 2)]
    urls: i64,
    /// The cdns that it concerns.
    #[schema(example = json!(["level3"]))]
    cdns: Vec<String>,
    /// `running`: there is work left. `done`: every edge confirmed every URL. `failed`: nothing is left to try.
    #[schema(example = "running", pattern = "^(running|done|failed)$")]
    state: &'static str,
    /// Share that the edges of all cdns have confirmed: 0 to 100. A URL on a vendor that tells no progress counts 0 until it is
    /// done.
    #[schema(minimum = 0, maximum = 100, example = 50)]
    percent: i64,
    /// Reason why it is not done, of the part that failed or waits; empty where there is nothing to say.
    #[schema(example = "edge-2: connection refused")]
    reason: String,
    /// Time of its acceptance, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    time: String,
    /// Its jobs, by cdn and batch.
    parts: Vec<PartInfo>,
}

/// A job of a request: a batch of its URLs on one cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct PartInfo {
    /// Task id, for `/level3/task` and `/level3/job/retry`.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// Name of the cdn.
    #[schema(example = "level3")]
    cdn: String,
    /// Number of its URLs.
    #[schema(example = 2)]
    urls: i64,
    /// `running`, `done` or `failed`, as of the request.
    #[schema(example = "running", pattern = "^(running|done|failed)$")]
    state: &'static str,
    /// Share that the edges of the cdn have confirmed: 0 to 100.
    #[schema(minimum = 0, maximum = 100, example = 50)]
    percent: i64,
    /// Reason why it is not done; empty where there is nothing to say.
    #[schema(example = "edge-2: connection refused")]
    reason: String,
}

/// Answer to a list of requests.
#[derive(Serialize, ToSchema)]
pub(super) struct JobPage {
    /// A page of them.
    results: Vec<JobRow>,
}

fn row(pilothouse: &Pilothouse, request: JobRequest) -> JobRow {
    let JobRequest { id, task_id, kind, mail, created, parts } = request;
    JobRow {
        id: id.0,
        taskid: task_id,
        login_email: mail,
        kind: kind.as_str(),
        urls: parts.urls(),
        cdns: parts.cdns().into_iter().map(str::to_owned).collect(),
        state: parts.state().listed_name(),
        percent: parts.percent(),
        reason: parts.reason(),
        time: time(pilothouse, created),
        parts: parts.0.into_iter().map(part).collect(),
    }
}

fn part(JobPart { task_id, cdn, urls, state, percent, reason }: JobPart) -> PartInfo {
    PartInfo { taskid: task_id, cdn, urls, state: state.listed_name(), percent, reason }
}

/// Lists the refreshes and preloads of all customers, newest first, each with one percentage over its cdns. A search for a
/// domain or text looks at the newest 20,000 jobs.
#[utoipa::path(
    get,
    path = "/level3/jobs",
    tag = "cdn",
    params(JobsQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200,
        description = "The requests.",
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
    listed(found, page, |request| row(&api.pilothouse, request), |results| done(JobPage { results }))
}
