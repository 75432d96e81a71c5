//! Answers shared by refresh, preload and their lists.

use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::Job;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cdn::time;
use crate::envelope::{Done, Reply, done};

/// A refresh or preload of one batch of URLs on one cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct JobInfo {
    /// Time of its acceptance, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    time: String,
    /// URLs, or tags as `tag://HOST/TAG`, joined by `|`.
    #[schema(example = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html")]
    url: String,
    /// Task id, for `/level3/task`.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// Share that the edges have confirmed: `0` (get ready) to `100` (finish).
    #[serde(rename = "percentComplete")]
    #[schema(pattern = "^(100|[1-9]?[0-9])$", example = "0")]
    percent_complete: String,
}

/// Jobs that were queued.
#[derive(Serialize, ToSchema)]
pub(super) struct Queued {
    /// One per cdn and batch.
    results: Vec<JobInfo>,
    /// Always `success`.
    #[schema(example = "success")]
    status: &'static str,
}

/// Jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct JobList {
    /// The newest 1000 at most.
    results: Vec<JobInfo>,
}

fn infos(pilothouse: &Pilothouse, jobs: Vec<Job>) -> Vec<JobInfo> {
    let info = |job: Job| JobInfo {
        time: time(pilothouse, job.created),
        url: job.urls.join("|"),
        taskid: job.task_id,
        percent_complete: job.percent.to_string(),
    };
    jobs.into_iter().map(info).collect()
}

pub(super) fn queued(pilothouse: &Pilothouse, jobs: Vec<Job>) -> Reply<Done<Queued>> {
    done(Queued { results: infos(pilothouse, jobs), status: "success" })
}

pub(super) fn listed(pilothouse: &Pilothouse, jobs: Vec<Job>) -> Reply<Done<JobList>> {
    done(JobList { results: infos(pilothouse, jobs) })
}
