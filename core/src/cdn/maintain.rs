//! What is to be done with traffic and logs every few minutes: days that are over are sealed, old ones go.

use std::collections::HashSet;
use std::io;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::log::{LogChunk, LogFile};
use super::traffic::{self, BUCKET_SECONDS, Bucket, Part, Traffic};
use super::{DomainId, city};
use crate::ports::{LockKey, LogArchive};
use crate::{Error, Result};

/// How long after its end a day is sealed: most lines have arrived by then.
const GRACE: TimeDelta = TimeDelta::hours(2);
/// How long a pack without rows is spared: its rows may be about to be committed.
const PACK_GRACE: TimeDelta = TimeDelta::days(1);
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
    /// Packs that held nothing any more.
    pub pruned_packs: u64,
}

impl Traffic<'_> {
    /// Seals the days that ended two hours ago, and forgets what is older than the settings say. Several servers may do
    /// so at once. To be called every few minutes; a call that was broken off is made good by the next.
    pub async fn maintain(&self) -> Result<Maintained> {
        let mut done = Maintained { sealed_days: self.seal().await?, ..Maintained::default() };
        done.pruned_blocks = self.prune().await?;
        if let Ok(archive) = self.0.log_archive() {
            // Packs go before chunks leave them, so that a download that has just begun still finds its own.
            done.pruned_packs = self.prune_packs(&**archive).await?;
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

    async fn prune_packs(&self, archive: &dyn LogArchive) -> Result<u64> {
        let packs = self.0.storage().read().await?.log_chunks().packs().await?;
        let keep: HashSet<_> = packs.into_iter().collect();
        archive.prune(keep, self.0.clock().now() - PACK_GRACE).await.map_err(|error| archive_failed(&error))
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
        let before = (self.0.clock().now() - GRACE).with_timezone(&self.0.settings().timezone).date_naive();
        let days = self.0.storage().read().await?.log_chunks().unsealed(before).await?;
        let mut sealed = 0;
        for (domain_id, day) in days {
            match self.seal_log(archive, domain_id, day).await {
                Ok(count) => sealed += count,
                // One log that lacks a file must not keep the others from being sealed.
                Err(error) => tracing::warn!(%error, domain_id, %day, "a day of logs was not sealed"),
            }
        }
        Ok(sealed)
    }

    /// Puts what packs hold of a domain's day into one file. Another server that does the same at the same time writes
    /// the same file, and one of both records it.
    async fn seal_log(&self, archive: &dyn LogArchive, domain_id: DomainId, day: NaiveDate) -> Result<u64> {
        let mut chunks = self.0.storage().read().await?.log_chunks().of_day(&[domain_id], day).await?;
        chunks.retain(|chunk| matches!(chunk.file, LogFile::Pack(_)));
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(0) };
        let name = format!("{domain_id}-{}-{}-{}", first.id, last.id, chunks.len());
        let length = archive.seal(&name, day, &chunks).await.map_err(|error| archive_failed(&error))?;
        let sealed = LogChunk {
            id: 0,
            domain_id,
            day,
            kept_from: chunks.iter().map(|chunk| chunk.kept_from).max().unwrap_or(day),
            file: LogFile::Sealed(name),
            offset: 0,
            length,
            lines: chunks.iter().map(|chunk| chunk.lines).sum(),
            raw_length: chunks.iter().map(|chunk| chunk.raw_length).sum(),
        };
        Ok(u64::from(self.replace(&chunks, &[sealed]).await? > 0))
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
