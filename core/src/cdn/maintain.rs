//! What is to be done with traffic and logs every few minutes: days that are over are sealed, old ones go.

use std::collections::HashSet;
use std::io;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::log::{LogChunk, LogFile};
use super::traffic::{self, BUCKET_SECONDS, Bucket, Part, Traffic};
use super::{DomainId, city};
use crate::ports::{LockKey, LogArchive};
use crate::{Error, Result};

/// How long after its end a day of traffic is sealed: most lines have arrived by then.
const GRACE: TimeDelta = TimeDelta::hours(2);
/// How long after its end a day of logs is put into one file. What arrives later is put into it too.
const LOG_GRACE: TimeDelta = TimeDelta::minutes(15);
/// How long a file without rows is spared: its rows may be about to be committed, or somebody is reading it.
const FILE_GRACE: TimeDelta = TimeDelta::hours(3);
/// So many chunks of a day that is not over are put together: a log that is followed brings one every moment.
const CROWD: usize = 100;
/// Days of domains sealed in one transaction, so that nobody waits long for the writer.
const AT_ONCE: i64 = 16;
/// Rows of logs forgotten in one transaction.
const ROWS_AT_ONCE: i64 = 500;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Days of domains whose open buckets were sealed.
    pub sealed_days: u64,
    /// Blocks that had become too old.
    pub pruned_blocks: u64,
    /// Days of domains whose kept lines were put into one file.
    pub sealed_logs: u64,
    /// Chunks of kept lines that had become too old.
    pub pruned_chunks: u64,
    /// Files of kept lines that nothing pointed at any more.
    pub pruned_files: u64,
}

impl Traffic<'_> {
    /// Seals the days that ended two hours ago, and forgets what is older than the settings say. Several servers may do
    /// so at once. To be called every few minutes; a call that was broken off is made good by the next.
    pub async fn maintain(&self) -> Result<Maintained> {
        let mut done = Maintained { sealed_days: self.seal().await?, ..Maintained::default() };
        done.pruned_blocks = self.prune().await?;
        if let Ok(archive) = self.0.log_archive() {
            // Files go before chunks leave them, so that a download that has just begun still finds its own.
            done.pruned_files = self.prune_files(&**archive).await?;
            done.pruned_chunks = self.prune_chunks(&**archive).await?;
            done.sealed_logs = self.seal_logs(&**archive).await?;
        }
        Ok(done)
    }

    async fn seal(&self) -> Result<u64> {
        let now = self.0.clock().now();
        let (end, today) = (end_of_sealing(now), traffic::day_of(now.timestamp() / BUCKET_SECONDS));
        let mut sealed = 0;
        loop {
            let mut work = self.0.storage().begin().await?;
            work.lock(LockKey::Traffic).await?;
            let days = work.traffic().unsealed(end, AT_ONCE).await?;
            if days.is_empty() {
                return Ok(sealed);
            }
            for (domain_id, day) in days {
                let buckets = traffic::buckets_of(day);
                let cells = work.traffic().take(domain_id, buckets.clone()).await?;
                traffic::seal(work.traffic(), domain_id, day, today, &cells).await?;
                let cells = work.cities().take(domain_id, buckets).await?;
                city::seal(work.traffic(), domain_id, day, today, &cells).await?;
                sealed += 1;
            }
            work.commit().await?;
        }
    }

    async fn prune(&self) -> Result<u64> {
        let settings = self.0.settings();
        let now = self.0.clock().now();
        let first = |days: u32| traffic::day_of(now.timestamp() / BUCKET_SECONDS) - i64::from(days);
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let mut pruned = 0;
        for (part, days) in [
            (Part::Flux, settings.traffic_days),
            (Part::Counts, settings.traffic_days),
            (Part::Cities, settings.city_days),
        ] {
            pruned += work.traffic().prune_blocks(part, first(days)).await?;
        }
        // What is forgotten of a log can be counted again, but only into days that are forgotten as well.
        work.log_sources().prune(now - TimeDelta::days(settings.traffic_days.into())).await?;
        work.commit().await?;
        Ok(pruned)
    }

    async fn prune_files(&self, archive: &dyn LogArchive) -> Result<u64> {
        let files = self.0.storage().read().await?.log_chunks().files().await?;
        let keep: HashSet<_> = files.into_iter().collect();
        archive.prune(keep, self.0.clock().now() - FILE_GRACE).await.map_err(|error| archive_failed(&error))
    }

    async fn prune_chunks(&self, archive: &dyn LogArchive) -> Result<u64> {
        let before = self.0.log_days_begin();
        let mut pruned = 0;
        loop {
            let mut snapshot = self.0.storage().read().await?;
            let expired = snapshot.log_chunks().expired(before, ROWS_AT_ONCE).await?;
            drop(snapshot);
            if expired.is_empty() {
                return Ok(pruned);
            }
            // The file first: a row without its file is found again by the next call, a file without row by nobody.
            for chunk in &expired {
                if let LogFile::Sealed(name) = &chunk.file {
                    archive.delete(name, chunk.day).await.map_err(|error| archive_failed(&error))?;
                }
            }
            pruned += self.replace(&expired, &[]).await?;
        }
    }

    async fn seal_logs(&self, archive: &dyn LogArchive) -> Result<u64> {
        let timezone = self.0.settings().timezone;
        let before = (self.0.clock().now() - LOG_GRACE).with_timezone(&timezone).date_naive();
        let mut snapshot = self.0.storage().read().await?;
        let mut days = snapshot.log_chunks().unsealed(before).await?;
        let crowded = snapshot.log_chunks().crowded(i64::try_from(CROWD).unwrap_or(i64::MAX)).await?;
        drop(snapshot);
        days.extend(crowded.into_iter().filter(|(_, day)| *day >= before));
        let mut sealed = 0;
        for (domain_id, day) in days {
            match self.seal_log(archive, domain_id, day, day < before).await {
                Ok(count) => sealed += count,
                // One log that lacks a file must not keep the others from being sealed.
                Err(error) => tracing::warn!(%error, domain_id, %day, "a day of logs was not sealed"),
            }
        }
        Ok(sealed)
    }

    /// Puts what there is of a domain's day into one file; of a day that is not over, many chunks in packs that follow each
    /// other. Another server that does the same at the same time writes the same file, and one of both records it.
    async fn seal_log(
        &self,
        archive: &dyn LogArchive,
        domain_id: DomainId,
        day: NaiveDate,
        is_over: bool,
    ) -> Result<u64> {
        let chunks = self.0.storage().read().await?.log_chunks().of_day(&[domain_id], day).await?;
        let is_packed = |chunk: &LogChunk| !chunk.is_open && matches!(chunk.file, LogFile::Pack(_));
        let chunks = if is_over {
            // A last line that may yet grow could not be taken out of the file again. After a day it will not.
            let recent = self.0.today().pred_opt().unwrap_or(day);
            let waits = chunks.iter().any(|chunk| chunk.is_open && chunk.kept_from >= recent);
            if waits { &[] } else { &*chunks }
        } else {
            let mut runs = chunks.chunk_by(|a, b| is_packed(a) == is_packed(b));
            runs.find(|run| run.len() >= CROWD && run.iter().all(is_packed)).unwrap_or_default()
        };
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(0) };
        let name = format!("{domain_id}-{}-{}-{}", first.id, last.id, chunks.len());
        let file = archive.seal(&name, day, chunks).await.map_err(|error| archive_failed(&error))?;
        let sealed = LogChunk {
            id: 0,
            domain_id,
            day,
            kept_from: chunks.iter().map(|chunk| chunk.kept_from).max().unwrap_or(day),
            file: LogFile::Sealed(name),
            offset: 0,
            length: file.length,
            lines: chunks.iter().map(|chunk| chunk.lines).sum(),
            raw_length: chunks.iter().map(|chunk| chunk.raw_length).sum(),
            place: first.place,
            is_open: false,
            sha256: Some(file.sha256),
        };
        Ok(u64::from(self.replace(chunks, &[sealed]).await? > 0))
    }

    /// Puts chunks in the place of others, if all of those are still there; how many those were.
    async fn replace(&self, old: &[LogChunk], new: &[LogChunk]) -> Result<u64> {
        let ids: Vec<_> = old.iter().map(|chunk| chunk.id).collect();
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let removed = work.log_chunks().delete(&ids).await?;
        if !new.is_empty() && removed != ids.len() as u64 {
            work.rollback().await?;
            return Ok(0);
        }
        work.log_chunks().insert(new).await?;
        work.commit().await?;
        Ok(removed)
    }
}

/// The buckets before this one are of days that are over.
fn end_of_sealing(now: DateTime<Utc>) -> Bucket {
    let bucket = (now - GRACE).timestamp().max(0) / BUCKET_SECONDS;
    *traffic::buckets_of(traffic::day_of(bucket)).start()
}

fn archive_failed(error: &io::Error) -> Error {
    Error::Internal(format!("the archive of logs failed: {error}"))
}
