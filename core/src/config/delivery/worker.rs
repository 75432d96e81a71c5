//! Delivery worker: reloads snapshots on signals and polls, and flushes delivery records and leases.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::{StreamExt, future};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::ports::{Signal, Topic};
use crate::{Pilothouse, Result};

/// Interval between flushes of delivery records and leases.
const FLUSH: Duration = Duration::from_millis(250);
/// Time without a new record after which a flush begins.
const QUIET: Duration = Duration::from_millis(20);
/// The most such times that a flush waits for quiet.
const QUIET_TRIES: u32 = 25;
/// Interval between polls, which make up for lost signals.
const POLL: Duration = Duration::from_millis(500);

/// The longest time between two successes of each delivery job.
const LIMIT: Duration = Duration::from_secs(15);
const RELOAD: &str = "configuration reload";
const POLLING: &str = "configuration poll";
const FLUSHING: &str = "delivery flush";

/// Keeps this server's snapshots current and its delivery records flushed, for ever.
pub(crate) async fn deliver(pilothouse: &Pilothouse) {
    future::join3(
        // Signals come when something changes, so that silence says nothing about this job's health.
        pilothouse.supervise(RELOAD, Duration::MAX, || reload(pilothouse)),
        pilothouse.supervise(POLLING, LIMIT, || poll(pilothouse)),
        pilothouse.supervise(FLUSHING, LIMIT, || flush(pilothouse)),
    )
    .await;
}

/// Reloads what signals name. A lost signal is made up for by polling.
async fn reload(pilothouse: &Pilothouse) {
    let mut signals = pilothouse.storage().signals();
    while let Some(signal) = signals.next().await {
        match signal {
            Signal::Changed(Topic::App(app)) => pilothouse.delivery().refresh(app).await,
            Signal::Changed(Topic::Jobs | Topic::Machine(_) | Topic::Batches) => {}
            Signal::Lost => report(pilothouse, RELOAD, pilothouse.delivery().poll().await),
        }
    }
    // A store without signals: the poll does all of the work.
    future::pending::<()>().await;
}

async fn poll(pilothouse: &Pilothouse) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        report(pilothouse, POLLING, pilothouse.delivery().poll().await);
        pilothouse.delivery().wake_drifted();
    }
}

async fn flush(pilothouse: &Pilothouse) {
    let mut ticks = interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Sending to nodes comes first: while more and more of them are being sent to, the flush waits.
        for _ in 0..QUIET_TRIES {
            let known = pilothouse.reports().count();
            if known == 0 {
                break;
            }
            sleep(QUIET).await;
            if pilothouse.reports().count() == known {
                break;
            }
        }
        report(pilothouse, FLUSHING, pilothouse.flush_reports().await);
    }
}

fn report(pilothouse: &Pilothouse, job: &'static str, answer: Result<()>) {
    match answer {
        Ok(()) => pilothouse.worker_succeeded(job),
        Err(error) => {
            tracing::warn!(job, error = &error as &dyn StdError, "a background job failed; it is retried");
        }
    }
}
