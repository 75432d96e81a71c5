//! Refreshes and preloads.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{EdgeProgress, Job, JobId, JobKind, JobRepository, JobState, Owed};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO job (task_id, kind, account_id, cdn, urls, created, state, percent, reason, due, \
     attempt, failures, stamp) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
const FIND: &str = "SELECT * FROM job WHERE task_id = $1";
const LIST: &str = "SELECT * FROM job WHERE account_id = $1 AND kind = $2 ORDER BY id DESC LIMIT $3";
/// Workers pass over what others are claiming at this moment. Materialised, so that the limit is applied once.
const CLAIM_POSTGRES: &str = "WITH claimed AS MATERIALIZED (SELECT id FROM job WHERE state = 0 AND due <= $1 \
     ORDER BY due, id LIMIT $2 FOR UPDATE SKIP LOCKED) \
     UPDATE job SET attempt = attempt + 1, due = $3 WHERE id IN (SELECT id FROM claimed) RETURNING *";
const CLAIM_SQLITE: &str = "UPDATE job SET attempt = attempt + 1, due = $3 WHERE id IN (SELECT id FROM job \
     WHERE state = 0 AND due <= $1 ORDER BY due, id LIMIT $2) RETURNING *";
const REPORT: &str = "UPDATE job SET state = $3, percent = $4, reason = $5, due = $6, failures = $7 \
     WHERE id = $1 AND attempt = $2 AND state = 0";
const PROGRESS: &str = "SELECT edge, cells FROM job_progress WHERE job_id = $1 ORDER BY edge";
const RECORD: &str = "INSERT INTO job_progress (job_id, edge, cells) VALUES ($1, $2, $3) \
     ON CONFLICT (job_id, edge) DO UPDATE SET cells = excluded.cells";

const OWED: &str = "SELECT job.*, job_progress.cells FROM job \
     LEFT JOIN job_progress ON job_progress.job_id = job.id AND job_progress.edge = $2 \
     WHERE job.cdn = $1 AND job.kind = 0 AND job.state = 0 ORDER BY job.id LIMIT $3";
const LEAST_STAMP: &str = "SELECT MIN(stamp) FROM job WHERE cdn = $1 AND kind = 0 AND state = 0";
const WAKE: &str = "UPDATE job SET due = $2 WHERE cdn = $1 AND state = 0 AND due > $2 AND reason <> ''";
const PRUNE: &str = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state <> 0 AND created < $1 \
     ORDER BY id LIMIT $2)";

#[derive(FromRow)]
struct OwedRow {
    #[sqlx(flatten)]
    job: JobRow,
    cells: Option<String>,
}

#[derive(FromRow)]
struct JobRow {
    id: i64,
    task_id: String,
    kind: i64,
    account_id: i64,
    cdn: String,
    urls: String,
    created: i64,
    state: i64,
    percent: i64,
    reason: String,
    due: i64,
    attempt: i64,
    failures: i64,
    stamp: i64,
}

impl TryFrom<JobRow> for Job {
    type Error = StorageError;

    fn try_from(row: JobRow) -> StorageResult<Self> {
        let JobRow { id, task_id, account_id, cdn, percent, reason, attempt, failures, stamp, .. } = row;
        Ok(Self {
            id,
            task_id,
            kind: JobKind::from_id(row.kind).ok_or(StorageError::Corrupt { what: "kind of job" })?,
            account_id,
            cdn,
            urls: row.urls.split('|').map(str::to_owned).collect(),
            created: time(row.created)?,
            state: JobState::from_id(row.state).ok_or(StorageError::Corrupt { what: "state of a job" })?,
            percent,
            reason,
            due: time(row.due)?,
            attempt,
            failures,
            stamp,
        })
    }
}

#[async_trait]
impl JobRepository for Transaction {
    async fn insert(&mut self, job: &Job) -> StorageResult<JobId> {
        let &Job { account_id, created, percent, due, attempt, failures, stamp, .. } = job;
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
            stamp
        ];
        let (id,): (i64,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn find(&mut self, task_id: &str) -> StorageResult<Option<Job>> {
        let found = self.connection.optional::<JobRow>(FIND, values![task_id]).await?;
        found.map(Job::try_from).transpose()
    }

    async fn list(&mut self, account_id: AccountId, kind: JobKind, count: i64) -> StorageResult<Vec<Job>> {
        let rows = self.connection.all::<JobRow>(LIST, values![account_id, kind.id(), count]).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    async fn claim(&mut self, now: DateTime<Utc>, lease: TimeDelta, count: i64) -> StorageResult<Vec<Job>> {
        let sql = self.connection.pick(CLAIM_POSTGRES, CLAIM_SQLITE);
        let mut rows = self.connection.all::<JobRow>(sql, values![now, count, now + lease]).await?;
        rows.sort_unstable_by_key(|row| row.id);
        rows.into_iter().map(Job::try_from).collect()
    }

    async fn report(&mut self, job: &Job) -> StorageResult<bool> {
        let &Job { id, attempt, percent, due, failures, .. } = job;
        let values = values![id, attempt, job.state.id(), percent, &job.reason, due, failures];
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

    async fn owed(&mut self, cdn: &str, edge: &str, count: i64) -> StorageResult<Vec<Owed>> {
        let rows = self.connection.all::<OwedRow>(OWED, values![cdn, edge, count]).await?;
        let owed = |OwedRow { job, cells }| {
            let job = Job::try_from(job)?;
            let decode = |cells: String| {
                EdgeProgress::decode(edge.to_owned(), &cells, job.urls.len())
                    .ok_or(StorageError::Corrupt { what: "progress of a job" })
            };
            let progress = cells.map(decode).transpose()?;
            Ok(Owed { job, progress })
        };
        rows.into_iter().map(owed).collect()
    }

    async fn least_stamp(&mut self, cdn: &str) -> StorageResult<Option<i64>> {
        let (least,) = self.connection.one(LEAST_STAMP, values![cdn]).await?;
        Ok(least)
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
