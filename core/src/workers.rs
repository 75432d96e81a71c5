//! Everything that happens without being asked for.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::future;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cdn::{EdgeKeeper, JobEngine, Maintained};
use crate::config::deliver;
use crate::{Pilothouse, Result};

/// How often notes kept in memory go to the store, and what has ended is forgotten.
const HOUSEKEEPING: Duration = Duration::from_mins(1);
/// How often the providers are asked for their domains.
const SYNC: Duration = Duration::from_mins(10);
/// How often days of traffic and logs that are over are sealed, and old ones forgotten.
const MAINTENANCE: Duration = Duration::from_mins(5);
/// How long the last housekeeping may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The background work, as one future that the host spawns. Leases make dropping it safe at any point, and several may
/// run on one store.
#[derive(Debug)]
pub struct Workers {
    pilothouse: Pilothouse,
}

impl Workers {
    /// For a domain.
    pub fn new(pilothouse: Pilothouse) -> Self {
        Self { pilothouse }
    }

    /// Works until cancelled. What fails is logged and tried again at its next time.
    pub async fn run(self, cancelled: CancellationToken) {
        let engine = JobEngine::new(self.pilothouse.clone());
        let keeper = EdgeKeeper::new(self.pilothouse.clone());
        let work = future::join5(
            every(HOUSEKEEPING, "housekeeping", || self.pilothouse.housekeep()),
            every(SYNC, "asking the providers for their domains", || self.sync()),
            every(MAINTENANCE, "sealing traffic and logs", || self.maintain()),
            engine.run(),
            future::join(deliver(&self.pilothouse), keeper.run()),
        );
        cancelled.run_until_cancelled(Box::pin(work)).await;
        // Watches would keep a server from ending.
        self.pilothouse.feeds().end_watches();
        keeper.leave().await;
        match timeout(FAREWELL, self.pilothouse.housekeep()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log(&error, "the last housekeeping"),
            Err(_) => tracing::error!("the last housekeeping took too long"),
        }
    }

    async fn maintain(&self) -> Result<()> {
        let done = self.pilothouse.traffic().maintain().await?;
        if done != Maintained::default() {
            tracing::info!(?done, "traffic and logs were put away");
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        for synced in self.pilothouse.sync().await? {
            match synced.changed {
                Ok(0) => {}
                Ok(changed) => tracing::info!(cdn = synced.cdn, changed, "domains changed their state"),
                Err(error) => {
                    tracing::warn!(
                        cdn = synced.cdn,
                        error = &error as &dyn StdError,
                        "no domains were learned"
                    );
                }
            }
        }
        Ok(())
    }
}

/// Does something at once and then every so often, for ever.
async fn every<F: Future<Output = Result<()>>>(period: Duration, what: &str, deed: impl Fn() -> F) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = deed().await {
            log(&error, what);
        }
    }
}

fn log(error: &crate::Error, what: &str) {
    tracing::error!(error = error as &dyn StdError, "{what} failed; it is tried again at its next time");
}
