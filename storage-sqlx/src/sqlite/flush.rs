//! Group commit: one flush of the write-ahead log for all commits that wait for it.
//!
//! The writer commits with `synchronous = NORMAL`, which leaves the commit in the write-ahead log without waiting for
//! the disk. Before it is acknowledged the log is flushed; all commits that arrive during one flush share the next.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use pilothouse_core::ports::{StorageError, StorageResult};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::file::{DatabaseFile, Identity};
use crate::stop::{Reason, Stop};

/// Queue of commits that wait for a flush.
#[derive(Clone, Debug)]
pub(super) struct Flusher(mpsc::UnboundedSender<oneshot::Sender<Result<(), Reason>>>);

impl Flusher {
    /// Starts the task that flushes the log; a failed flush stops the store.
    pub(super) fn start(file: DatabaseFile, stop: Stop, tasks: &mut JoinSet<()>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        tasks.spawn(run(file, stop, waiting));
        Self(queue)
    }

    /// Waits for a flush that covers everything committed so far.
    pub(super) async fn flushed(&self) -> StorageResult<()> {
        let (done, flushed) = oneshot::channel();
        // Both fail only after the task has ended, with the store.
        let flushed = match self.0.send(done) {
            Ok(()) => flushed.await.unwrap_or(Err(Reason::Closed)),
            Err(_) => Err(Reason::Closed),
        };
        flushed.map_err(|reason| StorageError::CommitUnknown(reason.into()))
    }
}

async fn run(
    file: DatabaseFile,
    stop: Stop,
    mut queue: mpsc::UnboundedReceiver<oneshot::Sender<Result<(), Reason>>>,
) {
    let mut log: Option<OpenLog> = None;
    let mut failed: Option<Reason> = None;
    while let Some(first) = queue.recv().await {
        let mut waiting = vec![first];
        while let Ok(next) = queue.try_recv() {
            waiting.push(next);
        }
        if failed.is_none() {
            let (file, open) = (file.clone(), log.take());
            let begun = std::time::Instant::now();
            match tokio::task::spawn_blocking(move || flush(&file, open)).await {
                Ok(Ok(flushed)) => {
                    log = Some(flushed);
                    metrics::histogram!("pilothouse_store_flush_seconds")
                        .record(begun.elapsed().as_secs_f64());
                }
                Ok(Err(reason)) => failed = Some(reason),
                Err(error) => failed = Some(flush_failed(io::Error::other(error))),
            }
            if let Some(reason) = &failed {
                stop.stop(reason.clone());
            }
        }
        for done in waiting {
            // A receiver that is gone does not need the answer.
            let _ = done.send(failed.clone().map_or(Ok(()), Err));
        }
    }
}

/// Open write-ahead log.
struct OpenLog {
    file: File,
    identity: Identity,
}

impl OpenLog {
    /// Opens a log and flushes its folder, so that a new log is found again after a power cut: SQLite does so only
    /// before its own first flush.
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let identity = Identity::from(&file.metadata()?);
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, identity })
    }
}

/// Flushes the log. It is opened again where SQLite has begun a new one, as it does after all connections were closed.
fn flush(file: &DatabaseFile, open: Option<OpenLog>) -> Result<OpenLog, Reason> {
    file.check()?;
    let path = file.log();
    let current = Identity::of(&path).map_err(flush_failed)?;
    let log = match open {
        Some(open) if open.identity == current => open,
        _ => OpenLog::open(&path).map_err(flush_failed)?,
    };
    log.file.sync_data().map_err(flush_failed)?;
    Ok(log)
}

fn flush_failed(error: io::Error) -> Reason {
    Reason::Flush(Arc::new(error))
}
