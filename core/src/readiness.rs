//! Readiness: whether a write would succeed and the background jobs are alive. Probed at most once a second.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::Pilothouse;

/// Age up to which an answer is given again, so that frequent probes cost nothing.
const FRESH: Duration = Duration::from_secs(1);
/// Time limit of the store's answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether this process can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// The store accepts writes and the background jobs are alive.
    Ready,
    /// The store refuses, its schema is not one that this version serves, or it cannot be written to.
    StoreNotReady,
    /// The store does not answer in time.
    StoreSilent,
    /// A background job of this process is overdue, or waits to be started again after a panic.
    WorkerStalled,
}

impl Readiness {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::StoreNotReady => "store_not_ready",
            Self::StoreSilent => "store_silent",
            Self::WorkerStalled => "worker_stalled",
        }
    }
}

/// The newest answer, with the time it was found out at.
#[derive(Debug, Default)]
pub(crate) struct ReadinessProbe(Mutex<Option<(Instant, Readiness)>>);

impl Pilothouse {
    /// Whether this process can serve; the answer is up to a second old. Who asks while the store is probed waits for that
    /// probe. A failure is logged with its causes.
    pub async fn readiness(&self) -> Readiness {
        let mut known = self.readiness_probe().0.lock().await;
        if let Some((at, readiness)) = *known
            && at.elapsed() < FRESH
        {
            return readiness;
        }
        let readiness = self.probe().await;
        *known = Some((Instant::now(), readiness));
        readiness
    }

    async fn probe(&self) -> Readiness {
        let store = async {
            self.storage().ready().await?;
            self.storage().check_writable().await
        };
        match timeout(STORE_TIMEOUT, store).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "not ready: the store refuses");
                return Readiness::StoreNotReady;
            }
            Err(_) => {
                tracing::warn!(limit = ?STORE_TIMEOUT, "not ready: the store does not answer");
                return Readiness::StoreSilent;
            }
        }
        match self.workers().into_iter().find(|job| job.is_stalled) {
            Some(job) => {
                let (job, last_success, restarts) = (job.name, job.last_success, job.restarts);
                tracing::warn!(job, ?last_success, restarts, "not ready: a background job is stalled");
                Readiness::WorkerStalled
            }
            None => Readiness::Ready,
        }
    }
}
