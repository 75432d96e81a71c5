//! Watch loop of a node: opens the event stream, applies its events, and reconnects with backoff for as long as the
//! client lives.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::node_api::{CallError, ChangeEvent, transport_error};
use crate::sse::Parser;
use crate::status::Status;

/// Progress of the watch loop that outlives one connection.
#[derive(Default)]
struct Progress {
    registered: bool,
    /// Revision to resume from; `None` before the first event of this process, because a snapshot's may be outdated.
    revision: Option<i64>,
    /// Consecutive attempts without a byte received.
    failures: u32,
}

impl Node {
    /// Watches until the task is dropped: after each lost connection waits, and asks the next server.
    pub(crate) async fn watch(&self) -> Infallible {
        let mut progress = Progress::default();
        loop {
            let Err(error) = self.watch_once(&mut progress).await;
            progress.failures = progress.failures.saturating_add(1);
            let delay = self.retry_delay(progress.failures, &error);
            tracing::debug!(?delay, reason = error.message(), "watch ended; it is opened again");
            match &error {
                CallError::Unregistered(_) => progress.registered = false,
                _ => self.api.use_next_server(),
            }
            self.report_failure(&progress, &error);
            sleep(delay).await;
        }
    }

    /// Registers if needed, opens one watch and applies its events until it fails.
    async fn watch_once(&self, progress: &mut Progress) -> Result<Infallible, CallError> {
        let mut nothing_published = false;
        if !progress.registered {
            // The lower half counts the releases.
            nothing_published = self.api.register().await?.trailing_zeros() >= 32;
            progress.registered = true;
        }
        let since = progress.revision.unwrap_or(0);
        let mut response = self.api.watch(since).await?;
        if progress.revision.is_some() {
            self.mark_connected();
        } else if nothing_published {
            // An empty configuration has no delta, so the server sends no event before the first publication.
            self.apply(ChangeEvent::default(), true).await;
            progress.revision = Some(0);
            self.mark_connected();
        }
        let mut is_full_state = since == 0;
        let mut parser = Parser::default();
        loop {
            let chunk = timeout(self.idle_timeout, response.chunk()).await;
            let chunk =
                chunk.map_err(|_| CallError::Failed("the watch timed out without a heartbeat".to_owned()))?;
            let chunk = chunk.map_err(transport_error)?;
            let chunk = chunk.ok_or_else(|| CallError::Failed("the server closed the watch".to_owned()))?;
            let messages = parser.feed(&chunk);
            progress.failures = 0;
            for message in messages.into_iter().filter(|message| message.event == "change") {
                let event: ChangeEvent = serde_json::from_str(&message.data)
                    .map_err(|error| CallError::Failed(format!("cannot parse a change event: {error}")))?;
                let revision = event.revision;
                self.apply(event, is_full_state).await;
                is_full_state = false;
                progress.revision = Some(revision);
                self.mark_connected();
            }
        }
    }

    fn mark_connected(&self) {
        self.set_status(Status::Connected);
        self.outcomes_changed.notify_one();
    }

    /// Sets the status after a failed attempt, and logs a change of it. A client that starts remains in
    /// [`Status::Starting`] until it has tried every server once.
    fn report_failure(&self, progress: &Progress, error: &CallError) {
        let starting = *self.status.borrow() == Status::Starting;
        match error {
            CallError::Refused(reason) => {
                tracing::error!(reason, "the server refuses the app key");
                self.set_status(Status::Refused(reason.as_str().into()));
            }
            _ if starting && (progress.failures as usize) < self.api.urls.len() => {}
            _ => {
                if *self.status.borrow() == Status::Connected || starting {
                    tracing::warn!(reason = error.message(), "watch disconnected");
                }
                self.set_status(Status::Disconnected(error.message().into()));
            }
        }
    }

    /// Backoff before the next attempt, with full jitter: a random wait up to a bound that doubles each time every
    /// server has failed once more. A refused key is retried only after 3 to 6 times the longest wait.
    pub(crate) fn retry_delay(&self, failures: u32, error: &CallError) -> Duration {
        let (initial, max) = self.backoff;
        if let CallError::Refused(_) = error {
            return max * 3 + random_up_to(max * 3);
        }
        let rounds = failures.saturating_sub(1) / u32::try_from(self.api.urls.len()).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(rounds).unwrap_or(u32::MAX);
        random_up_to(initial.saturating_mul(factor).min(max))
    }
}

/// Picks a uniformly random duration up to `max`.
fn random_up_to(max: Duration) -> Duration {
    // Should the system have no randomness, the client still waits, and does not retry in a busy loop.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    max.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
