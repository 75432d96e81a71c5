//! Upload of what is in the folder, as a background job.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use pilothouse_access_log::archive::{Archive, ArchiveError, ArchiveFile, WrittenFile};
use pilothouse_core::Pilothouse;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{AT_ONCE, ObjectArchive, ObjectArchiveError};
/// Name of the job, as [`Pilothouse::workers`] tells it.
const JOB: &str = "log archive";
/// Time without a successful run after which the process is not ready.
const LIMIT: Duration = Duration::from_mins(15);
/// Pause between two looks at the folder.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Time after which object storage is asked for its owner where there was nothing to upload, so that a fault is found.
const PROBE: Duration = Duration::from_secs(30);
/// Time limit of the last upload.
const FAREWELL: Duration = Duration::from_secs(2);

impl ObjectArchive {
    /// Moves what is in the folder up, until cancelled; the host spawns the future. Dropping it is safe at any moment. A process
    /// in which it fails for 15 minutes is not ready.
    pub async fn work(self, pilothouse: Pilothouse, cancelled: CancellationToken) {
        let job = pilothouse.supervise(JOB, LIMIT, || self.keep_uploading(&pilothouse));
        if cancelled.run_until_cancelled(job).await.is_none() {
            // What is left is uploaded by the next start; meanwhile other servers would miss it.
            if let Ok(Err(error)) = timeout(FAREWELL, self.upload()).await {
                warn(&error);
            }
        }
    }

    async fn keep_uploading(&self, pilothouse: &Pilothouse) {
        let mut is_failing = false;
        let mut answered: Option<Instant> = None;
        loop {
            let is_due = answered.is_none_or(|at| at.elapsed() >= PROBE);
            let done = match self.upload().await {
                Ok(0) if is_due => self.objects.confirm_owner().await.map(|()| true),
                done => done.map(|uploaded| uploaded > 0),
            };
            match done {
                Ok(has_answered) => {
                    if has_answered {
                        answered = Some(Instant::now());
                    }
                    is_failing = false;
                    pilothouse.worker_succeeded(JOB);
                    sleep(INTERVAL).await;
                }
                Err(error) => {
                    if !is_failing {
                        warn(&error);
                    }
                    is_failing = true;
                    answered = None;
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Moves everything that is in the folder now up; how many files. It stops where the object storage fails; files that the
    /// folder cannot read do not keep the others from going up.
    pub async fn upload(&self) -> Result<usize, ObjectArchiveError> {
        let mut files = self.in_folder(Archive::files).await?;
        let waiting = metrics::gauge!("pilothouse_log_archive_waiting_files");
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        waiting.set(files.len() as f64);
        if files.is_empty() {
            return Ok(0);
        }
        self.objects.claim().await?;
        files.sort_by_key(|file| file.written);
        let mut unread = None;
        let mut uploads = stream::iter(files)
            .map(|WrittenFile { file, .. }| async move { self.move_up(&file).await })
            .buffered(AT_ONCE);
        let mut uploaded = 0;
        while let Some(moved) = uploads.next().await {
            match moved {
                // Another process had it, or it was pruned.
                Ok(false) => waiting.decrement(1.0),
                Ok(true) => {
                    uploaded += 1;
                    waiting.decrement(1.0);
                }
                Err(error @ ObjectArchiveError::Folder(_)) => {
                    unread.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        drop(uploads);
        unread.map_or(Ok(uploaded), Err)
    }

    /// Moves a file up; whether it was in the folder.
    pub(super) async fn move_up(&self, file: &ArchiveFile) -> Result<bool, ObjectArchiveError> {
        let moved = file.clone();
        let Some(content) = self.in_folder(move |archive| archive.open_file(&moved)).await? else {
            return Ok(false);
        };
        let bytes = self.objects.put(file, content).await?;
        metrics::counter!("pilothouse_log_archive_uploaded_bytes_total").increment(bytes);
        // Not before it is durable elsewhere.
        let moved = file.clone();
        self.in_folder(move |archive| archive.delete(&moved)).await?;
        Ok(true)
    }

    /// Does something with the folder on a thread that may block.
    pub(super) async fn in_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ObjectArchiveError> {
        let archive = self.folder.archive().clone();
        let done = tokio::task::spawn_blocking(move || work(&archive)).await;
        Ok(done.map_err(io::Error::other)??)
    }
}

fn warn(error: &ObjectArchiveError) {
    let error = error as &dyn StdError;
    tracing::warn!(error, "kept log lines cannot be uploaded; it is tried again");
}
