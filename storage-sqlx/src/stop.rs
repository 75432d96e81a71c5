//! Stop state of a store: closed by its owner, or stopped because it can no longer be trusted to keep what it
//! acknowledges.

use std::error::Error;

use pilothouse_core::ports::{StorageError, StorageResult};
use tokio::sync::watch;

/// Reason why a store has stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("the store was closed")]
    Closed,
    /// Never retried: the kernel may have dropped the pages it could not write, and would report success the next time.
    #[cfg(feature = "sqlite")]
    #[error("the write-ahead log could not be flushed to the disk")]
    Flush(#[source] std::sync::Arc<std::io::Error>),
    #[cfg(feature = "sqlite")]
    #[error("the database file {} was replaced while it was in use", .0.display())]
    FileReplaced(std::path::PathBuf),
    #[cfg(feature = "sqlite")]
    #[error(
        "the database file {} was overwritten while it was in use, and is damaged: restore a backup while no server runs",
        .0.display()
    )]
    FileOverwritten(std::path::PathBuf),
    #[cfg(feature = "sqlite")]
    #[error("the database file {} was deleted while it was in use", .0.display())]
    FileDeleted(std::path::PathBuf),
}

/// Stop state, shared by all clones of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(watch::Sender<Option<Reason>>);

impl Stop {
    /// Stops the store; the first reason stays.
    pub(crate) fn stop(&self, reason: Reason) {
        self.0.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                if !matches!(reason, Reason::Closed) {
                    let reason = &reason as &dyn Error;
                    tracing::error!(reason, "the store has stopped");
                }
                *stopped = Some(reason);
            }
            first
        });
    }

    /// Refuses once the store has stopped.
    pub(crate) fn check(&self) -> StorageResult<()> {
        match &*self.0.borrow() {
            Some(reason) => Err(StorageError::Stopped(Box::new(reason.clone()))),
            None => Ok(()),
        }
    }

    /// Waits until the store stops.
    pub(crate) async fn stopped(&self) -> Reason {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => reason.clone(),
            // The sender lives as long as `self`.
            _ => Reason::Closed,
        }
    }
}
