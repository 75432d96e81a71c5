//! Worker health: when each background job last succeeded, so that readiness notices one that hangs or keeps failing.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::Pilothouse;
use crate::sync::lock;

/// Pause before a job that panicked is started again; doubled with each panic in a row.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest such pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// State of a background job of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The job's name, constant over versions: a label of metrics and of `/admin/system`.
    pub name: &'static str,
    /// Time of the last success; `None` before the first.
    pub last_success: Option<DateTime<Utc>>,
    /// Number of restarts after a panic.
    pub restarts: u64,
    /// Whether it is overdue, or waits to be started again after a panic.
    pub is_stalled: bool,
}

/// The background jobs that run in this process.
#[derive(Debug, Default)]
pub(crate) struct WorkerHealth(Mutex<BTreeMap<&'static str, JobHealth>>);

#[derive(Debug)]
struct JobHealth {
    /// The longest time between two successes of a healthy job.
    limit: Duration,
    /// The last success; before it, the start.
    alive: Instant,
    last_success: Option<DateTime<Utc>>,
    restarts: u64,
    has_panicked: bool,
}

impl WorkerHealth {
    fn started(&self, name: &'static str, limit: Duration) {
        let begun =
            JobHealth { limit, alive: Instant::now(), last_success: None, restarts: 0, has_panicked: false };
        lock(&self.0).entry(name).or_insert(begun);
    }

    fn succeeded(&self, name: &'static str, now: DateTime<Utc>) {
        if let Some(job) = lock(&self.0).get_mut(name) {
            job.alive = Instant::now();
            job.last_success = Some(now);
            job.has_panicked = false;
        }
    }

    fn panicked(&self, name: &'static str) {
        if let Some(job) = lock(&self.0).get_mut(name) {
            job.restarts += 1;
            job.has_panicked = true;
        }
    }

    fn ended(&self, name: &'static str) {
        lock(&self.0).remove(name);
    }
}

/// Removes a job from the health table however its future ends, also when the host drops it.
struct Running<'a> {
    health: &'a WorkerHealth,
    name: &'static str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.health.ended(self.name);
    }
}

impl Pilothouse {
    /// The background jobs of this process, by name; none where [`crate::Workers`] does not run.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let jobs = lock(&self.worker_health().0);
        let status = |(name, job): (&&'static str, &JobHealth)| WorkerStatus {
            name,
            last_success: job.last_success,
            restarts: job.restarts,
            is_stalled: job.has_panicked || job.alive.elapsed() > job.limit,
        };
        jobs.iter().map(status).collect()
    }

    /// Records that a background job did its work; one that is not running is passed over.
    pub fn worker_succeeded(&self, name: &'static str) {
        self.worker_health().succeeded(name, self.clock().now());
    }

    /// Runs a background job for ever, also one of the host's: one that panics is logged and started again, with back-off. A job
    /// that does not record a success ([`Pilothouse::worker_succeeded`]) within `limit` makes the process not ready.
    pub async fn supervise<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        limit: Duration,
        job: impl Fn() -> F,
    ) {
        let health = self.worker_health();
        health.started(name, limit);
        let _running = Running { health, name };
        let mut backoff = FIRST_BACKOFF;
        loop {
            let begun = Instant::now();
            // What a panicking job shares with others is behind locks that recover, or in transactions that roll back.
            let span = tracing::info_span!("job", name);
            let ended = AssertUnwindSafe(job().instrument(span)).catch_unwind().await;
            let panic = ended.map_or_else(|panic| panic_text(&*panic), |()| "it ended by itself".to_owned());
            health.panicked(name);
            metrics::counter!("pilothouse_worker_restarts_total", "worker" => name).increment(1);
            tracing::error!(job = name, panic, "a background job ended; it is started again");
            if begun.elapsed() > LONGEST_BACKOFF {
                backoff = FIRST_BACKOFF;
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }
}

/// The message of a panic, where it has one.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
