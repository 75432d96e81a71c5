//! Tells the server what became of what it sent.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::timeout;

use crate::node::Node;
use crate::wire::{CallError, Outcome};

/// The most outcomes in one call.
const BATCH: usize = 500;

impl Node {
    /// Sends outcomes as they come. What does not arrive is sent again, unless something newer took its place.
    pub(crate) async fn acknowledge(&self) -> Infallible {
        loop {
            self.outcomes_changed.notified().await;
            let mut failures = 0;
            while let Err(error) = self.send_outcomes().await {
                if let CallError::Unregistered(_) = error {
                    // Whether this worked shows at the next attempt.
                    let _ = self.wire.register().await;
                }
                failures += 1;
                // A watch that is open again, or a newer outcome, ends the wait.
                let _ = timeout(self.delay(failures, &error), self.outcomes_changed.notified()).await;
            }
        }
    }

    /// Sends all there is.
    pub(crate) async fn send_outcomes(&self) -> Result<(), CallError> {
        loop {
            let batch: Vec<(Arc<str>, Outcome)> = {
                let outcomes = self.outcomes();
                outcomes.iter().take(BATCH).map(|(key, outcome)| (key.clone(), outcome.clone())).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let rows: Vec<_> = batch.iter().map(|(key, outcome)| (&**key, outcome)).collect();
            match self.wire.acknowledge(&rows).await {
                Ok(()) => {}
                Err(CallError::Invalid(why)) => tracing::warn!("acknowledgements were not accepted: {why}"),
                Err(error) => return Err(error),
            }
            let mut outcomes = self.outcomes();
            for (key, sent) in &batch {
                if outcomes.get(key) == Some(sent) {
                    outcomes.remove(key);
                }
            }
        }
    }
}
