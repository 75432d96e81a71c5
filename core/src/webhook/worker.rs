//! Webhook worker: sends what is due, puts off what was not accepted, and gives up after a day.
//!
//! Each webhook is worked on its own, so that a receiver that hangs delays nobody else. A delivery goes from the store only
//! after it was accepted; a worker that dies in between leaves it to be sent again when its lease ends.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future;
use tokio::time::sleep;

use super::delivery::WebhookDelivery;
use crate::ports::{UnitOfWork, WebhookError, WebhookSender};
use crate::pruning::Pruning;
use crate::{Lease, Pilothouse, Result};

/// Interval between two looks at what is due.
const POLL: Duration = Duration::from_secs(1);
/// Lease of a claim: an attempt takes up to 10 s.
const LEASE: Lease = Lease::of(TimeDelta::seconds(15));
/// The most deliveries of one webhook under way at a time.
const CONCURRENT: i64 = 8;
/// The longest pause between two attempts; the first is of 1 s, and each is twice the one before: 1 hour.
pub const LONGEST_PAUSE: Lease = Lease::of(TimeDelta::hours(1));
/// Attempts at one delivery, which take a day. They are counted because a clock that jumps must not end them.
pub const MAX_ATTEMPTS: i64 = 36;
/// Time after which a delivery is forgotten that nobody sends: its webhook is no longer in the settings.
const KEPT: TimeDelta = TimeDelta::days(2);

/// Works the webhook deliveries of a store. Several may run side by side, in one process or many.
#[derive(Debug)]
pub struct WebhookWorker {
    pilothouse: Pilothouse,
    sender: Arc<dyn WebhookSender>,
}

impl WebhookWorker {
    /// The name under which [`Pilothouse::workers`] lists it.
    pub(crate) const NAME: &'static str = "webhooks";

    /// Over a domain; `None` where it has no webhooks, or nobody who sends.
    pub fn new(pilothouse: Pilothouse) -> Option<Self> {
        let sender = pilothouse.webhook_sender()?.clone();
        (!pilothouse.settings().webhooks.is_empty()).then_some(Self { pilothouse, sender })
    }

    /// Sends deliveries as they fall due, until it is dropped.
    pub async fn run(&self) {
        let webhooks = self.pilothouse.settings().webhooks.iter();
        future::join_all(webhooks.map(|webhook| self.follow(&webhook.name))).await;
    }

    async fn follow(&self, webhook: &str) {
        loop {
            match self.turn(webhook).await {
                Ok(sent) => {
                    self.pilothouse.worker_succeeded(Self::NAME);
                    if sent > 0 {
                        continue;
                    }
                }
                Err(error) => {
                    let error = &error as &dyn StdError;
                    tracing::error!(webhook, error, "webhook deliveries could not be worked; it is retried");
                }
            }
            sleep(POLL).await;
        }
    }

    /// Makes one attempt at what is due of a webhook, and says how many deliveries that were.
    pub async fn turn(&self, webhook: &str) -> Result<usize> {
        let mut work = self.pilothouse.storage().begin().await?;
        let now = work.now().await?;
        let due = work.webhook_deliveries().claim(webhook, now, LEASE, CONCURRENT).await?;
        if due.is_empty() {
            work.rollback().await?;
            return Ok(0);
        }
        // A claim that a power cut takes back is made again.
        work.commit_relaxed().await?;
        let count = due.len();
        let settled = future::join_all(due.into_iter().map(|delivery| self.attempt(delivery))).await;
        settled.into_iter().collect::<Result<()>>()?;
        Ok(count)
    }

    async fn attempt(&self, mut delivery: WebhookDelivery) -> Result<()> {
        let sent = self.sender.send(&delivery, self.pilothouse.clock().now()).await;
        let mut work = self.pilothouse.storage().begin().await?;
        let outcome = match &sent {
            Ok(()) => {
                work.webhook_deliveries().delete(delivery.id).await?;
                "delivered"
            }
            Err(_) if delivery.attempts >= MAX_ATTEMPTS => {
                work.webhook_deliveries().delete(delivery.id).await?;
                "given_up"
            }
            Err(_) => {
                delivery.due = work.now().await? + pause(delivery.attempts);
                // False where another worker was faster, since this one was slow.
                work.webhook_deliveries().postpone(&delivery).await?;
                "failed"
            }
        };
        // What a power cut takes back is sent again.
        work.commit_relaxed().await?;
        metrics::counter!("pilothouse_webhook_deliveries_total", "outcome" => outcome).increment(1);
        if let Err(error) = sent {
            log(&delivery, &error);
        }
        Ok(())
    }
}

fn log(delivery: &WebhookDelivery, error: &WebhookError) {
    let WebhookDelivery { webhook, event, key, attempts, .. } = delivery;
    let error = error as &dyn StdError;
    if *attempts >= MAX_ATTEMPTS {
        tracing::error!(webhook, event, delivery = key, attempts, error, "a webhook delivery was given up");
    } else if *attempts == 1 {
        tracing::warn!(webhook, event, delivery = key, error, "a webhook delivery failed; it is retried");
    }
}

/// The pause after a number of attempts that failed.
fn pause(attempts: i64) -> TimeDelta {
    let doubled = TimeDelta::seconds(1 << (attempts - 1).clamp(0, 12));
    doubled.min(LONGEST_PAUSE.length())
}

impl Pilothouse {
    /// Forgets deliveries of webhooks that no server knows any more.
    pub(crate) async fn prune_webhook_deliveries(
        &self,
        work: &mut dyn UnitOfWork,
        pruning: Pruning,
    ) -> Result<()> {
        let pruned = work.webhook_deliveries().prune(pruning.now - KEPT).await?;
        if pruned > 0 {
            tracing::warn!(pruned, "webhook deliveries were forgotten that nobody sent for two days");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_take_a_day() {
        let pauses = (1..MAX_ATTEMPTS).map(pause);
        let all = pauses.fold(TimeDelta::zero(), |all, pause| all + pause);
        let seconds = [1, 2, 12, 13, i64::MAX].map(|attempts| pause(attempts).num_seconds());
        assert_eq!(seconds, [1, 2, 2048, 3600, 3600]);
        assert!((TimeDelta::hours(24)..TimeDelta::hours(25)).contains(&all), "{all}");
    }
}
