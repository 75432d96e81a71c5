//! Job repository: the tables `job` and `job_progress`.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{
    EdgeProgress, Job, JobFilter, JobId, JobKind, JobPart, JobParts, JobRepository, JobRequest, JobState,
    LONGEST_WAIT, MissedPurges,
};
use pilothouse_core::ports::{StorageError, StorageResult};
use pilothouse_core::{Lease, Page};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, among_texts, statements};
use crate::transaction::Transaction;
use crate::value::{texts, values};

/// Request of a job: a row of its first job names none.
macro_rules! request {
    ($table:literal) => {
        concat!("COALESCE(", $table, "request, ", $table, "task_id)")
    };
}

statements! {
    INSERT = "INSERT INTO job (task_id, kind, account_id, cdn, urls, created, state, percent, reason, due, \
         attempt, failures, stamp, is_claimed, request) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULLIF($15, $1)) RETURNING id";
    FIND = "SELECT * FROM job WHERE task_id = $1";
    LIST = "SELECT * FROM job WHERE account_id = $1 AND kind = $2 ORDER BY id DESC LIMIT $3";
    /// On Postgres workers pass over what others are claiming at this moment; materialised, so that the limit is applied
    /// once. SQLite has one writer at a time.
    CLAIM: pair = [
        "WITH claimed AS MATERIALIZED (SELECT id FROM job WHERE state = 0 AND due <= $1 \
         ORDER BY due, id LIMIT $2 FOR UPDATE SKIP LOCKED) \
         UPDATE job SET attempt = attempt + 1, due = $3, is_claimed = TRUE WHERE id IN (SELECT id FROM claimed) RETURNING *",
        "UPDATE job SET attempt = attempt + 1, due = $3, is_claimed = TRUE WHERE id IN (SELECT id FROM job \
         WHERE state = 0 AND due <= $1 ORDER BY due, id LIMIT $2) RETURNING *",
    ];
    /// Those claimed for longer than a lease, or due further away than any wait is long: written by a clock that was ahead.
    END_VOID = "UPDATE job SET due = $1 WHERE state = 0 AND due > $2 AND (is_claimed OR due > $3)";
    NTH_BEFORE = "SELECT id FROM job WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";
    RETRY = "UPDATE job SET state = 0, attempt = attempt + 1, due = $4, is_claimed = FALSE, failures = 0, reason = '' \
         WHERE id = $1 AND attempt = $2 AND state = $3";
    REPORT = "UPDATE job SET state = $3, percent = $4, reason = $5, due = $6, failures = $7, is_claimed = $8 \
         WHERE id = $1 AND attempt = $2 AND state = 0";
    PROGRESS = "SELECT edge, cells FROM job_progress WHERE job_id = $1 ORDER BY edge";
    RECORD = "INSERT INTO job_progress (job_id, edge, cells) VALUES ($1, $2, $3) \
         ON CONFLICT (job_id, edge) DO UPDATE SET cells = excluded.cells";
    OWED = "SELECT job.*, job_progress.cells FROM job \
         LEFT JOIN job_progress ON job_progress.job_id = job.id AND job_progress.edge = $2 \
         WHERE job.cdn = $1 AND job.kind = 0 AND job.state = 0 ORDER BY job.id LIMIT $3";
    LEAST_STAMP = "SELECT MIN(stamp) FROM job WHERE cdn = $1 AND kind = 0 AND state = 0";
    WAKE = "UPDATE job SET due = $2 WHERE cdn = $1 AND state = 0 AND due > $2 AND reason <> ''";
    PRUNE = concat!(
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state <> 0 AND created < $1 AND ", request!(""),
        " NOT IN (SELECT ", request!(""), " FROM job WHERE state = 0) ORDER BY id LIMIT $2)"
    );
    PARTS: pair = among_texts!(
        concat!(
            "SELECT id, ", request!(""), " AS request, task_id, cdn, state, percent, reason, \
             CAST(LENGTH(urls) - LENGTH(REPLACE(urls, '|', '')) + 1 AS BIGINT) AS url_count \
             FROM job WHERE ", request!("")
        ),
        "$1",
        "ORDER BY id"
    );
}

/// Hosts of a job's URLs and tags, each between a bar and what may follow a host. None holds a bar.
const HOSTS: &str = "REPLACE(REPLACE(REPLACE('|' || LOWER(part.urls) || '|', '|https://', '|'), '|http://', '|'), \
     '|tag://', '|')";

/// Condition on the first job of a request that a part of it is in a state.
macro_rules! has_part {
    ($not:literal, $state:literal) => {
        concat!(
            "job.task_id ",
            $not,
            "IN (SELECT ",
            request!("part."),
            " FROM job AS part WHERE part.state = ",
            $state,
            ")"
        )
    };
}

/// Lists of requests, by their first jobs: of every state or one, and of every customer or one. States are literals, for the
/// partial indexes, and a customer that is not the one asked for is written so that its index is not used.
static LISTS: LazyLock<[[ListStatements; 2]; 4]> = LazyLock::new(|| {
    let ends = ["/", "?", ":", "|", "./", ".?", ".:", ".|"];
    let hosts = ends.map(|end| format!("{HOSTS} LIKE '%|' || $4 || '{end}%'")).join(" OR ");
    let part = concat!("SELECT 1 FROM job AS part WHERE ", request!("part."), " = job.task_id");
    let found = format!(
        "(($4 IS NULL AND $5 IS NULL) OR EXISTS ({part} AND ($4 IS NULL OR {hosts}) \
         AND ($5 IS NULL OR REPLACE(part.urls, $5, '') <> part.urls)))"
    );
    let columns = "job.id, task_id, kind, mail, created";
    let from = "job JOIN account ON account.id = job.account_id";
    let done = format!("state = 1 AND NOT EXISTS ({part} AND part.state <> 1)");
    let failed = concat!(has_part!("", "2"), " AND ", has_part!("NOT ", "0"));
    let states = ["TRUE", has_part!("", "0"), &done, failed];
    let accounts = ["($3 IS NULL OR account_id + 0 = $3)", "account_id = $3"];
    states.map(|state| {
        accounts.map(|account| {
            let condition = format!("request IS NULL AND {state} AND {account} AND {found}");
            ListStatements::new(concat!(module_path!(), "::LISTS"), (columns, from, "job.id"), &condition, 3)
        })
    })
});

/// The statements that lead to what passes a filter.
fn lists(filter: &JobFilter) -> &'static ListStatements {
    let state = match filter.state {
        None => 0,
        Some(JobState::Pending) => 1,
        Some(JobState::Done) => 2,
        Some(JobState::Failed) => 3,
    };
    &LISTS[state][usize::from(filter.account_id.is_some())]
}

/// First job of a request.
struct FirstJob {
    id: JobId,
    task_id: String,
    kind: JobKind,
    mail: String,
    created: DateTime<Utc>,
}

impl FromRow for FirstJob {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            task_id: row.get("task_id")?,
            kind: kind(row)?,
            mail: row.get("mail")?,
            created: row.get("created")?,
        })
    }
}

/// Part of a request, with the task id of the request.
struct PartRow {
    request: String,
    part: JobPart,
}

impl FromRow for PartRow {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let part = JobPart {
            task_id: row.get("task_id")?,
            cdn: row.get("cdn")?,
            urls: row.get("url_count")?,
            state: state(row)?,
            percent: row.get("percent")?,
            reason: row.get("reason")?,
        };
        Ok(Self { request: row.get("request")?, part })
    }
}

fn kind(row: &Row) -> StorageResult<JobKind> {
    JobKind::from_id(row.get("kind")?).ok_or(StorageError::Corrupt { what: "kind of job" })
}

fn state(row: &Row) -> StorageResult<JobState> {
    JobState::from_id(row.get("state")?).ok_or(StorageError::Corrupt { what: "state of a job" })
}

impl FromRow for Job {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let urls: String = row.get("urls")?;
        let task_id: String = row.get("task_id")?;
        Ok(Self {
            id: row.get("id")?,
            request: row.optional("request")?.unwrap_or_else(|| task_id.clone()),
            task_id,
            kind: kind(row)?,
            account_id: row.get("account_id")?,
            cdn: row.get("cdn")?,
            urls: urls.split('|').map(str::to_owned).collect(),
            created: row.get("created")?,
            state: state(row)?,
            percent: row.get("percent")?,
            reason: row.get("reason")?,
            due: row.get("due")?,
            is_claimed: row.get("is_claimed")?,
            attempt: row.get("attempt")?,
            failures: row.get("failures")?,
            stamp: row.get("stamp")?,
        })
    }
}

/// A job with the encoded progress of one edge, where that has any.
struct OwedRow {
    job: Job,
    cells: Option<String>,
}

impl FromRow for OwedRow {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { job: Job::from_row(row)?, cells: row.optional("cells")? })
    }
}

#[async_trait]
impl JobRepository for Transaction {
    async fn insert(&mut self, job: &Job) -> StorageResult<JobId> {
        let &Job { account_id, created, percent, due, attempt, failures, stamp, is_claimed, .. } = job;
        let (kind, state, urls) = (job.kind.id(), job.state.id(), job.urls.join("|"));
        let values = values![
            &job.task_id,
            kind,
            account_id,
            &job.cdn,
            urls,
            created,
            state,
            percent,
            &job.reason,
            due,
            attempt,
            failures,
            stamp,
            is_claimed,
            &job.request
        ];
        self.connection.one(INSERT, values).await
    }

    async fn find(&mut self, task_id: &str) -> StorageResult<Option<Job>> {
        self.connection.optional(FIND, values![task_id]).await
    }

    async fn list(&mut self, account_id: AccountId, kind: JobKind, count: i64) -> StorageResult<Vec<Job>> {
        self.connection.all(LIST, values![account_id, kind.id(), count]).await
    }

    async fn parts(&mut self, request: &str) -> StorageResult<JobParts> {
        let rows: Vec<PartRow> = self.connection.all(PARTS, values![texts(&[request])]).await?;
        Ok(JobParts(rows.into_iter().map(|row| row.part).collect()))
    }

    async fn requests(&mut self, filter: &JobFilter, page: Page) -> StorageResult<Vec<JobRequest>> {
        let JobFilter { account_id, domain, text, .. } = filter;
        let values =
            values![page.start, page.before, *account_id, domain.as_ref(), text.as_ref(), page.count];
        let first: Vec<FirstJob> = self.connection.all(lists(filter).page(page.order), values).await?;
        let named: Vec<_> = first.iter().map(|job| job.task_id.as_str()).collect();
        let rows: Vec<PartRow> = self.connection.all(PARTS, values![texts(&named)]).await?;
        let mut parts: HashMap<String, Vec<JobPart>> = HashMap::new();
        for PartRow { request, part } in rows {
            parts.entry(request).or_default().push(part);
        }
        let request = |FirstJob { id, task_id, kind, mail, created }| {
            let parts = JobParts(parts.remove(&task_id).unwrap_or_default());
            JobRequest { id, task_id, kind, mail, created, parts }
        };
        Ok(first.into_iter().map(request).collect())
    }

    async fn count(&mut self, filter: &JobFilter, start: i64, before: i64) -> StorageResult<u64> {
        let JobFilter { account_id, domain, text, .. } = filter;
        let values = values![start, before, *account_id, domain.as_ref(), text.as_ref()];
        self.connection.count(lists(filter).count(), values).await
    }

    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<JobId>> {
        self.connection.optional(NTH_BEFORE, values![before, n - 1]).await
    }

    async fn retry(&mut self, job: &Job) -> StorageResult<bool> {
        let values = values![job.id, job.attempt, job.state.id(), job.due];
        Ok(self.connection.execute(RETRY, values).await? > 0)
    }

    async fn claim(&mut self, now: DateTime<Utc>, lease: Lease, count: i64) -> StorageResult<Vec<Job>> {
        self.connection
            .execute(END_VOID, values![now, lease.latest_end(now), LONGEST_WAIT.latest_end(now)])
            .await?;
        let mut jobs: Vec<Job> = self.connection.all(CLAIM, values![now, count, lease.end(now)]).await?;
        jobs.sort_unstable_by_key(|job| job.id);
        Ok(jobs)
    }

    async fn report(&mut self, job: &Job) -> StorageResult<bool> {
        let &Job { id, attempt, percent, due, failures, is_claimed, .. } = job;
        let values = values![id, attempt, job.state.id(), percent, &job.reason, due, failures, is_claimed];
        Ok(self.connection.execute(REPORT, values).await? > 0)
    }

    async fn progress(&mut self, job: &Job) -> StorageResult<Vec<EdgeProgress>> {
        let rows: Vec<(String, String)> = self.connection.all(PROGRESS, values![job.id]).await?;
        let decode = |(edge, cells): (String, String)| {
            EdgeProgress::decode(edge, &cells, job.urls.len())
                .ok_or(StorageError::Corrupt { what: "progress of a job" })
        };
        rows.into_iter().map(decode).collect()
    }

    async fn missed_purges(&mut self, cdn: &str, edge: &str, count: i64) -> StorageResult<Vec<MissedPurges>> {
        let rows = self.connection.all::<OwedRow>(OWED, values![cdn, edge, count]).await?;
        let owed = |OwedRow { job, cells }| {
            let decode = |cells: String| {
                EdgeProgress::decode(edge.to_owned(), &cells, job.urls.len())
                    .ok_or(StorageError::Corrupt { what: "progress of a job" })
            };
            let progress = cells.map(decode).transpose()?;
            Ok(MissedPurges { job, progress })
        };
        rows.into_iter().map(owed).collect()
    }

    async fn least_stamp(&mut self, cdn: &str) -> StorageResult<Option<i64>> {
        self.connection.one(LEAST_STAMP, values![cdn]).await
    }

    async fn wake(&mut self, cdn: &str, now: DateTime<Utc>) -> StorageResult<()> {
        self.connection.execute(WAKE, values![cdn, now]).await.map(|_| ())
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }

    async fn record(&mut self, id: JobId, progress: &EdgeProgress) -> StorageResult<()> {
        self.connection.execute(RECORD, values![id, &progress.edge, progress.encode()]).await.map(|_| ())
    }
}
