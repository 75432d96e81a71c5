//! What refresh and preload and their lists have in common.

use chrono::{DateTime, Utc};
use pilothouse_core::Pilothouse;
use pilothouse_core::cdn::Job;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::envelope::{Done, Reply, done};

/// URLs to be refreshed or preloaded.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddJobs {
    /// The mail of the customer's account.
    #[schema(min_length = 3, max_length = 254, example = "user@example.com")]
    pub(super) login_email: String,
    /// 1 to 1000 URLs joined by `|` (a literal bar is `%7C`), each `http` or `https`, at most 2048 bytes, its host a domain
    /// of the customer. The same URL twice is one piece of work.
    #[schema(min_length = 1, example = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html")]
    pub(super) path: String,
}

/// A refresh or preload of one batch of URLs on one cdn.
#[derive(Serialize, ToSchema)]
pub(super) struct JobInfo {
    /// When it was accepted, in the server's zone.
    #[schema(example = "2016/09/13 15:44:07")]
    time: String,
    /// Its URLs, joined by `|`.
    #[schema(example = "http://cdn.exrqs.com/test.html|http://cdn.exrqs.com/test1.html")]
    url: String,
    /// What `/level3/task` knows it by.
    #[schema(example = "refresh-0358c3c78f5211e685855cf9389306a2")]
    taskid: String,
    /// How much the edges have confirmed: `0` (get ready) to `100` (finish).
    #[serde(rename = "percentComplete")]
    #[schema(pattern = "^(100|[1-9]?[0-9])$", example = "0")]
    percent_complete: String,
}

/// Jobs that were queued.
#[derive(Serialize, ToSchema)]
pub(super) struct Queued {
    /// One per cdn and batch.
    results: Vec<JobInfo>,
    /// `success`.
    #[schema(example = "success")]
    status: &'static str,
}

/// Jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct JobList {
    /// At most 1000.
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

/// `YYYY/MM/DD HH:MM:SS` in the server's zone.
pub(super) fn time(pilothouse: &Pilothouse, at: DateTime<Utc>) -> String {
    at.with_timezone(&pilothouse.settings().timezone).format("%Y/%m/%d %H:%M:%S").to_string()
}
