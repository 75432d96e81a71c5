//! `/cdn/jobs/{taskid}`: what each edge confirmed of a job, and the whole request that it is a part of, live.

use askama::Template;
use axum::response::Response;
use chrono::{DateTime, Utc};
use pilothouse_core::account::Group;
use pilothouse_core::cdn::{CellState, EdgeProgress, JobDetails, JobState};
use serde::Deserialize;

use crate::failure::{Answer, Failure};
use crate::form::{Form, Segments};
use crate::live::{Fragment, still_in, stream};
use crate::page::{Page, Visitor, html};

/// The most URLs of one page. Those that are not confirmed come first.
const ROWS: usize = 200;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    page: Page,
    details: JobDetails,
    body: String,
    may_retry: bool,
}

/// Part of the page that changes while edges confirm.
#[derive(Template)]
#[template(path = "job_live.html")]
struct Live {
    page: Page,
    details: JobDetails,
    /// Edges that confirmed every URL.
    confirmed: usize,
    /// Milliseconds until the last confirmation, where all have confirmed.
    took: Option<i64>,
    urls: Vec<UrlRow>,
    more: usize,
}

/// A URL with its cell of each edge.
struct UrlRow {
    url: String,
    cells: Vec<Cell>,
    is_confirmed: bool,
}

struct Cell {
    state: CellState,
    reason: String,
}

/// Number of URLs that an edge confirmed.
fn acked(edge: &EdgeProgress) -> usize {
    edge.count(CellState::Acked)
}

/// Reason of an edge for the first URL that it has not confirmed.
fn complaint(edge: &EdgeProgress) -> &str {
    edge.cells.iter().find(|cell| !cell.reason.is_empty()).map_or("", |cell| &cell.reason)
}

/// Milliseconds from a moment to the last confirmation of an edge, once it has confirmed everything.
fn took(edge: &EdgeProgress, since: &DateTime<Utc>) -> Option<i64> {
    let all = edge.cells.iter().all(|cell| cell.state == CellState::Acked);
    let last = edge.cells.iter().filter_map(|cell| cell.at).max().filter(|_| all)?;
    Some((last - *since).num_milliseconds().max(0))
}

/// URLs, those that are not confirmed by every edge first.
fn rows(details: &JobDetails) -> Vec<UrlRow> {
    let row = |(n, url): (usize, &String)| {
        let cells = details.edges.iter().filter_map(|edge| edge.cells.get(n));
        let cells: Vec<_> =
            cells.map(|cell| Cell { state: cell.state, reason: cell.reason.clone() }).collect();
        let is_confirmed = cells.iter().all(|cell| cell.state == CellState::Acked);
        UrlRow { url: url.clone(), cells, is_confirmed }
    };
    let mut rows: Vec<_> = details.job.urls.iter().enumerate().map(row).collect();
    rows.sort_by_key(|row| row.is_confirmed);
    rows
}

async fn live(visitor: &Visitor, task_id: &str) -> Result<Fragment, Failure> {
    let details = visitor.pilothouse().jobs().find(&visitor.caller, task_id).await?;
    let is_final = details.parts.state() != JobState::Pending;
    let mut urls = rows(&details);
    let more = urls.len().saturating_sub(ROWS);
    urls.truncate(ROWS);
    let times: Vec<_> = details.edges.iter().filter_map(|edge| took(edge, &details.job.created)).collect();
    let confirmed = times.len();
    let took = times.into_iter().max().filter(|_| confirmed == details.edges.len());
    let page = visitor.page("").await?;
    let html = Live { page, details, confirmed, took, urls, more }.render()?;
    Ok(Fragment { html, is_final })
}

/// The page.
pub(crate) async fn get_job(visitor: Visitor, Segments(task_id): Segments<String>) -> Answer {
    let details = visitor.pilothouse().jobs().find(&visitor.caller, &task_id).await?;
    let body = live(&visitor, &task_id).await?.html;
    let has_failed = details.edges.iter().any(|edge| edge.count(CellState::Failed) > 0)
        || details.parts.0.iter().any(|part| part.state == JobState::Failed);
    let may_retry = visitor.caller.holds(Group::Cdn) && has_failed;
    let page = visitor.page(format!("{} {}", visitor.t.job, details.job.task_id)).await?;
    html(&JobPage { page, details, body, may_retry })
}

/// The job as it goes on.
pub(crate) async fn get_live(
    visitor: Visitor,
    Segments(task_id): Segments<String>,
) -> Result<Response, Failure> {
    visitor.pilothouse().jobs().find(&visitor.caller, &task_id).await?;
    let console = visitor.visit.console.clone();
    let visitor = std::sync::Arc::new(visitor);
    Ok(stream(&console, move || {
        let (visitor, task_id) = (visitor.clone(), task_id.clone());
        Box::pin(async move {
            still_in(&visitor).await?;
            live(&visitor, &task_id).await
        })
    }))
}

/// A form without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// Tries again what failed of the whole request.
pub(crate) async fn post_retry(
    visitor: Visitor,
    Segments(task_id): Segments<String>,
    Form(Empty {}): Form<Empty>,
) -> Answer {
    let jobs = visitor.pilothouse().jobs();
    let details = jobs.find(&visitor.caller, &task_id).await?;
    jobs.retry_request(&visitor.caller, &details.job.request).await?;
    Ok(visitor.done(&format!("/cdn/jobs/{task_id}"), "queued"))
}
