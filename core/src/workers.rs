//! Background jobs: housekeeping, provider sync, retention, the purge engine, edge leases, vendor calls, orders
//! and batches, configuration delivery, webhooks, alarms.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::future;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cdn::{AlarmWorker, EdgeLeases, JobRunner, Maintained, PulledLogs, VendorCalls};
use crate::config::deliver;
use crate::ops::{BatchWorker, OrderSweeper};
use crate::webhook::WebhookWorker;
use crate::{Pilothouse, Result};

/// A job that is done at once and then every `period`; overdue, and the process not ready, after `limit`.
struct Periodic {
    name: &'static str,
    period: Duration,
    limit: Duration,
}

/// Flushes what is buffered in memory, and prunes what has ended.
const HOUSEKEEPING: Periodic =
    Periodic { name: "housekeeping", period: Duration::from_mins(1), limit: Duration::from_mins(5) };
/// Removes contents that no task names. A bucket that cannot be reached for a while is no reason to serve nothing else.
const BLOBS: Periodic =
    Periodic { name: "blob pruning", period: Duration::from_mins(5), limit: Duration::from_mins(15) };
/// Asks the providers for their domains.
const SYNC: Periodic =
    Periodic { name: "provider sync", period: Duration::from_mins(10), limit: Duration::from_mins(30) };
/// Seals days of traffic and logs that are over, and forgets old ones. The first run after a long stop takes its time.
const RETENTION: Periodic =
    Periodic { name: "retention", period: Duration::from_mins(5), limit: Duration::from_hours(2) };
/// Pulls the figures of vendors.
const FIGURES: Periodic =
    Periodic { name: "vendor figures", period: Duration::from_mins(5), limit: Duration::from_mins(30) };
/// Fetches the logs of vendors. A day of a busy domain takes its time.
const LOGS: Periodic =
    Periodic { name: "vendor logs", period: Duration::from_mins(5), limit: Duration::from_hours(2) };
/// Ends orders whose lease was not renewed.
const ORDERS: Periodic =
    Periodic { name: "order sweeper", period: Duration::from_secs(5), limit: Duration::from_mins(1) };
/// Looks for what is beyond its threshold or out of order.
const ALARMS: Periodic =
    Periodic { name: "alarms", period: Duration::from_secs(5), limit: Duration::from_mins(2) };
/// The longest time between two claims of the purge engine.
const PURGE_LIMIT: Duration = Duration::from_secs(30);
/// The longest time between two looks at the batches.
const BATCH_LIMIT: Duration = Duration::from_secs(30);
/// The longest time between two renewals of the leadership over edges or a vendor.
const LEASE_LIMIT: Duration = Duration::from_secs(30);
/// The longest time between two looks at webhook deliveries, of which each takes up to 10 s.
const WEBHOOK_LIMIT: Duration = Duration::from_mins(1);
/// Time limit of the last housekeeping.
const FAREWELL: Duration = Duration::from_secs(2);

/// The background work, as one future that the host spawns. Leases make dropping it safe at any point, and several may
/// run on one store.
#[derive(Debug)]
pub struct Workers {
    pilothouse: Pilothouse,
}

impl Workers {
    /// The background work of a domain.
    pub fn new(pilothouse: Pilothouse) -> Self {
        Self { pilothouse }
    }

    /// Works until cancelled. A job that fails is logged and retried at its next time; one that panics is started again,
    /// with back-off. [`Pilothouse::workers`] tells how each of them is.
    pub async fn run(self, cancelled: CancellationToken) {
        let pilothouse = &self.pilothouse;
        let runner = JobRunner::new(pilothouse.clone());
        let leases = EdgeLeases::new(pilothouse.clone());
        let alarms = AlarmWorker::new(pilothouse.clone());
        let vendors = VendorCalls::new(pilothouse.clone());
        let batches = BatchWorker::new(pilothouse);
        let work = future::join5(
            future::join(
                self.every(HOUSEKEEPING, || pilothouse.housekeep_store()),
                self.every(BLOBS, || self.prune_blobs()),
            ),
            future::join3(
                self.every(SYNC, || self.sync()),
                self.every(FIGURES, || self.pull_figures()),
                self.every(LOGS, || self.pull_logs()),
            ),
            self.every(RETENTION, || self.maintain()),
            pilothouse.supervise(JobRunner::NAME, PURGE_LIMIT, || runner.run()),
            future::join5(
                future::join3(
                    self.every(ALARMS, || alarms.turn()),
                    self.every(ORDERS, || self.sweep_orders()),
                    pilothouse.supervise(BatchWorker::NAME, BATCH_LIMIT, || batches.run()),
                ),
                deliver(pilothouse),
                pilothouse.supervise(EdgeLeases::NAME, LEASE_LIMIT, || leases.run()),
                self.send_webhooks(),
                pilothouse.supervise(VendorCalls::NAME, LEASE_LIMIT, || vendors.run()),
            ),
        );
        cancelled.run_until_cancelled(Box::pin(work)).await;
        // Watches would keep a server from ending.
        pilothouse.delivery().end_watches();
        leases.leave().await;
        leave_alarms(&alarms).await;
        vendors.leave().await;
        match timeout(FAREWELL, pilothouse.housekeep_store()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log(HOUSEKEEPING.name, &error),
            Err(_) => tracing::error!(job = HOUSEKEEPING.name, "the last run took too long"),
        }
    }

    async fn send_webhooks(&self) {
        if let Some(worker) = WebhookWorker::new(self.pilothouse.clone()) {
            self.pilothouse.supervise(WebhookWorker::NAME, WEBHOOK_LIMIT, || worker.run()).await;
        }
    }

    async fn sweep_orders(&self) -> Result<()> {
        OrderSweeper::new(&self.pilothouse).sweep().await.map(|_| ())
    }

    async fn prune_blobs(&self) -> Result<()> {
        self.pilothouse.blobs().prune().await.map(|_| ())
    }

    async fn maintain(&self) -> Result<()> {
        let done = self.pilothouse.maintain().await?;
        if done != Maintained::default() {
            tracing::info!(?done, "traffic and logs were sealed and pruned");
        }
        Ok(())
    }

    async fn pull_figures(&self) -> Result<()> {
        self.pilothouse.pull_figures().await.map(|_| ())
    }

    async fn pull_logs(&self) -> Result<()> {
        for PulledLogs { cdn, files, .. } in self.pilothouse.pull_logs().await? {
            if files > 0 {
                tracing::info!(cdn, files, "logs of a vendor were fetched");
            }
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        for synced in self.pilothouse.sync().await? {
            match synced.changed {
                Ok(0) => {}
                Ok(changed) => tracing::info!(cdn = synced.cdn, changed, "domains changed their state"),
                Err(error) => {
                    let error = &error as &dyn StdError;
                    tracing::warn!(cdn = synced.cdn, error, "a provider did not list its domains");
                }
            }
        }
        Ok(())
    }

    async fn every<F: Future<Output = Result<()>>>(&self, job: Periodic, run: impl Fn() -> F) {
        let Periodic { name, period, limit } = job;
        let run = &run;
        self.pilothouse
            .supervise(name, limit, || async move {
                let mut ticks = interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    match run().await {
                        Ok(()) => self.pilothouse.worker_succeeded(name),
                        Err(error) => log(name, &error),
                    }
                }
            })
            .await;
    }
}

/// Gives up the looking for alarms; where that fails, its lease ends by itself.
async fn leave_alarms(alarms: &AlarmWorker) {
    if let Ok(Err(error)) = timeout(FAREWELL, alarms.leave()).await {
        log(ALARMS.name, &error);
    }
}

fn log(job: &'static str, error: &crate::Error) {
    tracing::error!(job, error = error as &dyn StdError, "a background job failed; it is retried");
}
