//! The watch of a node: opened, followed, and opened again for as long as the client lives.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::node::Node;
use crate::sse::Parser;
use crate::status::Status;
use crate::wire::{CallError, Event, failed};

/// What is known from one attempt to the next.
#[derive(Default)]
struct Link {
    registered: bool,
    /// What to resume from; `None` before the first event of this process, whose snapshot may be old.
    revision: Option<i64>,
    /// Attempts in a row at which nothing came.
    failures: u32,
}

impl Node {
    pub(crate) async fn watch(&self) -> Infallible {
        let mut link = Link::default();
        loop {
            let Err(error) = self.follow(&mut link).await;
            link.failures = link.failures.saturating_add(1);
            let delay = self.delay(link.failures, &error);
            tracing::debug!(?delay, "the watch ended: {}", error.text());
            match &error {
                CallError::Unregistered(_) => link.registered = false,
                _ => self.wire.turn_to_next(),
            }
            self.show(&link, &error);
            sleep(delay).await;
        }
    }

    /// Follows one watch to its end.
    async fn follow(&self, link: &mut Link) -> Result<Infallible, CallError> {
        let mut nothing_published = false;
        if !link.registered {
            nothing_published = self.wire.register().await? == 0;
            link.registered = true;
        }
        let since = link.revision.unwrap_or(0);
        let mut body = self.wire.watch(since).await?.bytes_stream();
        if link.revision.is_some() {
            self.connected();
        } else if nothing_published {
            // Nothing is different from nothing: there will be no event before the first publication.
            self.take(Event::default(), true).await;
            link.revision = Some(0);
            self.connected();
        }
        let mut everything = since == 0;
        let mut parser = Parser::default();
        loop {
            let piece = timeout(self.silence, body.next()).await;
            let piece = piece.map_err(|_| CallError::Failed("the watch fell silent".to_owned()))?;
            let piece = piece.ok_or_else(|| CallError::Failed("the server ended the watch".to_owned()))?;
            let messages = parser.feed(&piece.map_err(failed)?);
            link.failures = 0;
            for message in messages.into_iter().filter(|message| message.name == "change") {
                let event: Event = serde_json::from_str(&message.data)
                    .map_err(|error| CallError::Failed(format!("an event cannot be read: {error}")))?;
                let revision = event.revision;
                self.take(event, everything).await;
                everything = false;
                link.revision = Some(revision);
                self.connected();
            }
        }
    }

    fn connected(&self) {
        self.set_status(Status::Connected);
        self.outcomes_changed.notify_one();
    }

    /// Until every server was tried once, a client that starts is still starting.
    fn show(&self, link: &Link, error: &CallError) {
        let starting = *self.status.borrow() == Status::Starting;
        match error {
            CallError::Refused(why) => {
                tracing::error!("the app key is refused: {why}");
                self.set_status(Status::Refused(why.as_str().into()));
            }
            _ if starting && (link.failures as usize) < self.wire.urls.len() => {}
            _ => {
                if *self.status.borrow() == Status::Connected || starting {
                    tracing::warn!("no watch: {}", error.text());
                }
                self.set_status(Status::Disconnected(error.text().into()));
            }
        }
    }

    /// Full jitter: anything up to a bound that doubles when every server failed once more. A refused key is tried again
    /// only now and then.
    pub(crate) fn delay(&self, failures: u32, error: &CallError) -> Duration {
        let (first, most) = self.backoff;
        if let CallError::Refused(_) = error {
            return most * 3 + jitter(most * 3);
        }
        let rounds = failures.saturating_sub(1) / u32::try_from(self.wire.urls.len()).unwrap_or(u32::MAX);
        jitter(first.saturating_mul(1_u32.checked_shl(rounds).unwrap_or(u32::MAX)).min(most))
    }
}

/// A random time up to `most`.
fn jitter(most: Duration) -> Duration {
    // Without randomness from the system there is still a wait.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
