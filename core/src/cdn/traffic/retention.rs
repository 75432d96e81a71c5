//! Sealing and retention of traffic and logs: days that are over become blocks and files, old ones are deleted.

use std::collections::HashSet;
use std::io;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::bucket::{BUCKET_SECONDS, Bucket, Day, buckets_of, day_of};
use super::log_chunk::{LogChunk, LogChunkId, LogFile};
use super::series::BlockKind;
use super::top_urls::{MAX_PATHS, PathSketch, SketchMerger, TopUrlsKey, TopUrlsPiece};
use super::unregistered_merge::merge_crowds;
use super::vendor_logs::remembered_from;
use super::{city, series};
use crate::cdn::identifier::DomainId;
use crate::ports::{LockKey, LogArchive};
use crate::pruning::Pruning;
use crate::{Error, Pilothouse, Prunable, Result};

/// Time after its end at which a day of traffic is sealed: most lines have arrived by then.
const GRACE: TimeDelta = TimeDelta::hours(2);
/// Time after its end at which a day of logs is put into one file. Later lines are put into it too.
const LOG_GRACE: TimeDelta = TimeDelta::minutes(15);
/// Age up to which a file without rows is spared: its rows may be about to be committed, or somebody is reading it.
const FILE_GRACE: TimeDelta = TimeDelta::hours(3);
/// So many chunks of a day that is not over are put together: a log that is followed brings one every moment.
const CROWD: usize = 100;
/// Days of domains sealed in one transaction, so that nobody waits long for the writer.
const AT_ONCE: i64 = 16;
/// Pieces of top URLs of one hour that are merged: a log that is followed brings one every moment.
const PIECES: i64 = 8;
/// Hours of domains whose pieces are merged in one transaction.
const HOURS_AT_ONCE: i64 = 32;
/// Rows of logs forgotten in one transaction.
const ROWS_AT_ONCE: i64 = 500;
/// Blocks of a kind forgotten in one run.
const BLOCKS_AT_ONCE: i64 = 10_000;

/// Counts of one run.
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
    /// Hours of domains whose pieces of top URLs were merged.
    pub merged_hours: u64,
    /// Rows of kept-aside lines of unregistered hosts that went into others.
    pub merged_unregistered: u64,
    /// Files of kept lines that nothing pointed at any more.
    pub pruned_files: u64,
}

impl Pilothouse {
    /// Seals the days of traffic and logs that are over, and forgets what is older than the settings say. Several servers
    /// may do so at once. To be called every few minutes; a call that was broken off is made good by the next.
    pub async fn maintain(&self) -> Result<Maintained> {
        Retention(self).run().await
    }
}

#[derive(Clone, Copy, Debug)]
struct Retention<'a>(&'a Pilothouse);

impl Retention<'_> {
    async fn run(&self) -> Result<Maintained> {
        let mut done = Maintained { sealed_days: self.seal().await?, ..Maintained::default() };
        done.merged_hours = self.merge_top_urls().await?;
        let (blocks, may_prune) = self.prune().await?;
        done.pruned_blocks = blocks;
        if let Ok(archive) = self.0.log_archive() {
            if may_prune {
                // Files go before chunks leave them, so that a download that has just begun still finds its own.
                done.pruned_files = self.prune_files(&**archive).await?;
                done.pruned_chunks = self.prune_chunks(&**archive).await?;
            }
            done.merged_unregistered = merge_crowds(self.0, &**archive).await?;
            done.sealed_logs = self.seal_logs(&**archive).await?;
        }
        Ok(done)
    }

    async fn seal(&self) -> Result<u64> {
        let now = self.0.clock().now();
        let (end, today) = (end_of_sealing(now), day_of(now.timestamp() / BUCKET_SECONDS));
        let mut sealed = 0;
        loop {
            let mut work = self.0.storage().begin().await?;
            work.lock(LockKey::Traffic).await?;
            let days = work.traffic().unsealed(end, AT_ONCE).await?;
            if days.is_empty() {
                return Ok(sealed);
            }
            for (domain_id, day) in days {
                let buckets = buckets_of(day);
                let cells = work.traffic().take(domain_id, buckets.clone()).await?;
                series::seal(work.traffic(), domain_id, day, today, &cells).await?;
                let cells = work.cities().take(domain_id, buckets).await?;
                city::seal(work.traffic(), domain_id, day, today, &cells).await?;
                sealed += 1;
            }
            work.commit().await?;
        }
    }

    /// Merges pieces of top URLs, so that an hour of a domain has few.
    async fn merge_top_urls(&self) -> Result<u64> {
        let mut merged = 0;
        loop {
            let mut work = self.0.storage().begin().await?;
            work.lock(LockKey::Traffic).await?;
            let keys = work.top_urls().crowded(PIECES, HOURS_AT_ONCE).await?;
            if keys.is_empty() {
                return Ok(merged);
            }
            for key in keys {
                let pieces = work.top_urls().take(key).await?;
                let kept_from = pieces.iter().map(|piece| piece.kept_from).max().unwrap_or_default();
                let mut merger = SketchMerger::default();
                for piece in &pieces {
                    merger.add(PathSketch::decode(&piece.data)?);
                }
                let data = merger.finish(MAX_PATHS).encode();
                let TopUrlsKey { domain_id, hour, source_id } = key;
                let piece = TopUrlsPiece { domain_id, hour, source_id, kept_from, data };
                work.top_urls().insert(&[piece]).await?;
                merged += 1;
            }
            work.commit().await?;
        }
    }

    /// Prunes blocks, log sources and lines of unregistered hosts; how many blocks, and whether anything may be pruned now.
    async fn prune(&self) -> Result<(u64, bool)> {
        let settings = self.0.settings();
        let now = self.0.clock().now();
        let Day(today) = day_of(now.timestamp() / BUCKET_SECONDS);
        let first = |days: u32| Day(today - i64::from(days));
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let Some(pruning) = self.0.begin_pruning(&mut *work).await? else {
            work.commit().await?;
            return Ok((0, false));
        };
        let mut pruned = 0;
        for (part, kind, days) in [
            (BlockKind::Flux, Prunable::FluxBlocks, settings.traffic_days),
            (BlockKind::Counts, Prunable::CountBlocks, settings.traffic_days),
            (BlockKind::Cities, Prunable::CityBlocks, settings.city_days),
        ] {
            let count = pruning.limit(&mut *work, kind, BLOCKS_AT_ONCE).await?;
            let gone = work.traffic().prune_blocks(part, first(days), count).await?;
            pruning.spend(&mut *work, kind, gone).await?;
            pruned += gone;
        }
        // What is forgotten of a log can be counted again, but only into days that are forgotten as well.
        let before = now - TimeDelta::days(settings.traffic_days.into());
        let count = pruning.limit(&mut *work, Prunable::LogSources, ROWS_AT_ONCE).await?;
        let gone = work.log_sources().prune(before, count).await?;
        pruning.spend(&mut *work, Prunable::LogSources, gone).await?;
        let before = now - TimeDelta::days(settings.unregistered_days.into());
        self.0.note_listed_hosts(&mut *work).await?;
        let count = pruning.limit(&mut *work, Prunable::UnregisteredLines, ROWS_AT_ONCE).await?;
        let gone = work.unregistered().prune(before, count).await?;
        pruning.spend(&mut *work, Prunable::UnregisteredLines, gone).await?;
        let count = pruning.limit(&mut *work, Prunable::TopUrls, BLOCKS_AT_ONCE).await?;
        let gone = work.top_urls().prune(first(settings.top_url_days), count).await?;
        pruning.spend(&mut *work, Prunable::TopUrls, gone).await?;
        // Nothing is lost with these but that a log can be forgotten, and names of files that nobody looks for any more, so
        // that they need no share of the day.
        work.log_undo().expire(now - settings.undo_time()).await?;
        work.vendor_logs().forget(remembered_from(now)).await?;
        work.top_urls().settle().await?;
        work.commit().await?;
        Ok((pruned, true))
    }

    async fn prune_files(&self, archive: &dyn LogArchive) -> Result<u64> {
        let mut snapshot = self.0.storage().read().await?;
        let mut files = snapshot.log_chunks().files().await?;
        files.extend(snapshot.unregistered().files().await?);
        let renewed = snapshot.store_identity().identity().await?.renewed;
        drop(snapshot);
        let keep: HashSet<_> = files.into_iter().collect();
        let now = self.0.clock().now();
        // As long as lines are kept: after that nobody misses the files that a restored store knows nothing of.
        let restored = renewed.filter(|at| *at > now - TimeDelta::days(self.0.settings().log_days.into()));
        archive.prune(keep, now - FILE_GRACE, restored).await.map_err(|error| archive_failed(&error))
    }

    async fn prune_chunks(&self, archive: &dyn LogArchive) -> Result<u64> {
        let before = self.log_days_begin();
        let mut pruned = 0;
        loop {
            let mut work = self.0.storage().begin().await?;
            work.lock(LockKey::Traffic).await?;
            let count = match self.0.begin_pruning(&mut *work).await? {
                Some(pruning) => pruning.limit(&mut *work, Prunable::LogChunks, ROWS_AT_ONCE).await?,
                None => 0,
            };
            let expired = work.log_chunks().expired(before, count).await?;
            work.commit().await?;
            if expired.is_empty() {
                return Ok(pruned);
            }
            // The file first: a row without its file is found again by the next call, a file without row by nobody.
            for chunk in &expired {
                if let LogFile::Sealed(name) = &chunk.file {
                    archive.delete(name, chunk.day).await.map_err(|error| archive_failed(&error))?;
                }
            }
            pruned += self.remove(&expired).await?;
        }
    }

    async fn seal_logs(&self, archive: &dyn LogArchive) -> Result<u64> {
        let timezone = self.0.settings().timezone;
        let before = (self.0.clock().now() - LOG_GRACE).with_timezone(&timezone).date_naive();
        let mut snapshot = self.0.storage().read().await?;
        let mut days = snapshot.log_chunks().unsealed(before).await?;
        let crowded = snapshot.log_chunks().crowded(i64::try_from(CROWD).unwrap_or(i64::MAX)).await?;
        // Lines of a log that may be forgotten again stay in their packs.
        let undone: HashSet<_> = snapshot.log_undo().packs().await?.into_iter().collect();
        drop(snapshot);
        days.extend(crowded.into_iter().filter(|(_, day)| *day >= before));
        let mut sealed = 0;
        for (domain_id, day) in days {
            match self.seal_log(archive, domain_id, day, (day < before, &undone)).await {
                Ok(count) => sealed += count,
                // One log that lacks a file must not keep the others from being sealed.
                Err(error) => {
                    let (error, domain_id) = (&error as &dyn std::error::Error, domain_id.0);
                    tracing::warn!(error, domain_id, %day, "a day of logs was not sealed");
                }
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
        (is_over, undone): (bool, &HashSet<String>),
    ) -> Result<u64> {
        let chunks = self.0.storage().read().await?.log_chunks().of_day(&[domain_id], day).await?;
        let may_be_forgotten =
            |chunk: &LogChunk| matches!(&chunk.file, LogFile::Pack(pack) if undone.contains(pack));
        let is_packed = |chunk: &LogChunk| {
            !chunk.is_open && matches!(chunk.file, LogFile::Pack(_)) && !may_be_forgotten(chunk)
        };
        let chunks = if is_over {
            // A last line that may yet grow could not be taken out of the file again. After a day it will not.
            let recent = self.0.today().pred_opt().unwrap_or(day);
            let waits = chunks.iter().any(|chunk| chunk.is_open && chunk.kept_from >= recent);
            if waits || chunks.iter().any(may_be_forgotten) { &[] } else { &*chunks }
        } else {
            let mut runs = chunks.chunk_by(|a, b| is_packed(a) == is_packed(b));
            runs.find(|run| run.len() >= CROWD && run.iter().all(is_packed)).unwrap_or_default()
        };
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(0) };
        let name = format!("{domain_id}-{}-{}-{}", first.id, last.id, chunks.len());
        let file = archive.seal(&name, day, chunks).await.map_err(|error| archive_failed(&error))?;
        let sealed = LogChunk {
            id: LogChunkId::UNSAVED,
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

    /// The first day from which logs are kept.
    fn log_days_begin(self) -> NaiveDate {
        let days = Days::new(self.0.settings().log_days.into());
        self.0.today().checked_sub_days(days).unwrap_or(NaiveDate::MIN)
    }

    /// Removes chunks that have expired.
    async fn remove(&self, expired: &[LogChunk]) -> Result<u64> {
        let ids: Vec<_> = expired.iter().map(|chunk| chunk.id).collect();
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let removed = work.log_chunks().delete(&ids).await?;
        // Their files are gone, so that the rows go, too, whatever the clock says by now.
        let now = work.now().await?;
        Pruning { now }.spend(&mut *work, Prunable::LogChunks, removed).await?;
        work.commit().await?;
        Ok(removed)
    }

    /// Puts chunks in the place of others, if all of those are still there; how many those were.
    async fn replace(&self, old: &[LogChunk], new: &[LogChunk]) -> Result<u64> {
        let ids: Vec<_> = old.iter().map(|chunk| chunk.id).collect();
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let removed = work.log_chunks().delete(&ids).await?;
        if removed != ids.len() as u64 {
            work.rollback().await?;
            return Ok(0);
        }
        work.log_chunks().insert(new).await?;
        work.commit().await?;
        Ok(removed)
    }
}

/// The buckets before this one are of days that are over.
pub(super) fn end_of_sealing(now: DateTime<Utc>) -> Bucket {
    let bucket = (now - GRACE).timestamp().max(0) / BUCKET_SECONDS;
    *buckets_of(day_of(bucket)).start()
}

fn archive_failed(error: &io::Error) -> Error {
    Error::Internal(format!("the archive of logs failed: {error}"))
}
