//! Batch worker: takes the steps of batches that are under way, as their orders end and as time passes.

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, future, stream};
use tokio::time::{sleep, timeout};

use crate::ports::{Signal, Topic};
use crate::{Error, Pilothouse, Result};

/// Interval between looks at the batches, for machines that come online, deadlines, and signals that were lost.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a signal, so that many orders that end together cost one step.
const GATHER: Duration = Duration::from_millis(50);

/// Takes the steps of batches. Several may run on one store: a step is written by compare-and-set on the batch.
#[derive(Debug)]
pub struct BatchWorker<'a>(&'a Pilothouse);

impl<'a> BatchWorker<'a> {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "batch worker";

    /// Over a domain.
    pub fn new(pilothouse: &'a Pilothouse) -> Self {
        Self(pilothouse)
    }

    /// Works until it is dropped.
    pub(crate) async fn run(&self) {
        let heard = self.0.storage().signals();
        let is_news =
            |signal: &Signal| future::ready(matches!(signal, Signal::Changed(Topic::Batches) | Signal::Lost));
        // Without signals the looks go on.
        let mut heard = pin!(heard.filter(is_news).map(|_| ()).chain(stream::pending()));
        loop {
            match self.turn().await {
                Ok(_) => self.0.worker_succeeded(Self::NAME),
                Err(error) => {
                    tracing::error!(error = &error as &dyn StdError, "cannot step batches");
                }
            }
            if timeout(LOOK, heard.next()).await.is_ok() {
                sleep(GATHER).await;
                while heard.next().now_or_never().is_some() {}
            }
        }
    }

    /// Takes one step of each batch that is under way; how many changed.
    pub async fn turn(&self) -> Result<u64> {
        let mut stepped = 0;
        let active = self.0.storage().peek().await?.batches().active().await?;
        for batch in active {
            match self.0.batches().step(batch.batch_id).await {
                Ok(is_changed) => stepped += u64::from(is_changed),
                // Another server, an operator or an agent was faster; the next look sees what they left.
                Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stepped)
    }
}
