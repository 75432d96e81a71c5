//! Acknowledgements: reports to the server whether each received version was applied, rejected or failed.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::timeout;

use crate::node::Node;
use crate::node_api::{CallError, Outcome};

/// Most outcomes in one acknowledgement call.
const BATCH_SIZE: usize = 500;

impl Node {
    /// Sends outcomes as they are queued. A failed send is retried with backoff; an outcome that a newer version of the
    /// same key has replaced meanwhile is not sent any more.
    pub(crate) async fn send_acknowledgements(&self) -> Infallible {
        loop {
            self.outcomes_changed.notified().await;
            let mut failures = 0;
            while let Err(error) = self.send_pending_outcomes().await {
                if let CallError::Unregistered(_) = error {
                    // A failure here shows in the next attempt to send.
                    let _ = self.api.register().await;
                }
                failures += 1;
                // A reopened watch or a newer outcome ends the wait early.
                let _ = timeout(self.retry_delay(failures, &error), self.outcomes_changed.notified()).await;
            }
        }
    }

    /// Sends all pending outcomes, in batches, and removes those that the server has received.
    pub(crate) async fn send_pending_outcomes(&self) -> Result<(), CallError> {
        loop {
            let batch: Vec<(Arc<str>, Outcome)> = {
                let pending = self.pending_outcomes();
                pending.iter().take(BATCH_SIZE).map(|(key, outcome)| (key.clone(), outcome.clone())).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let rows: Vec<_> = batch.iter().map(|(key, outcome)| (&**key, outcome)).collect();
            match self.api.acknowledge(&rows).await {
                Ok(()) => {}
                // The server would refuse them every time, so they are dropped like those it has received.
                Err(CallError::Invalid(reason)) => {
                    tracing::warn!(reason, "the server refused acknowledgements; they are dropped");
                }
                Err(error) => return Err(error),
            }
            let mut pending = self.pending_outcomes();
            for (key, sent) in &batch {
                if pending.get(key) == Some(sent) {
                    pending.remove(key);
                }
            }
        }
    }
}
