//! Undo records: what batches of an ingested log added, so that the log can be forgotten exactly and read again rightly.
//!
//! They are kept for at most [`UNDO_DAYS`], and never longer than traffic, cities or kept lines: within that time nothing that
//! the log added has been pruned. Days whose packs they name are not put into one file meanwhile.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::bucket::{Cell, Figures};
use super::city::CityCell;
use super::edge_log;
use super::log_intake::{CellSums, EdgeRef, LogIntake};
use super::log_source::{Counters, LogSource, LogSourceId};
use super::unregistered_figures::{RowCityCell, RowFigures};
use crate::cdn::identifier::DomainId;
use crate::ports::{LockKey, StorageError, StorageResult, UnitOfWork};
use crate::{Error, Result, Settings};

/// Days for which an ingested log can be forgotten, unless something that it added is kept for fewer.
const UNDO_DAYS: u32 = 7;

/// Undo record: what one batch of an ingested log added to one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoRecord {
    /// The log.
    pub source_id: LogSourceId,
    /// Domain whose traffic it is; [`DomainId::UNSAVED`] in the record that counts the lines of the batch.
    pub domain_id: DomainId,
    /// Time at which it was recorded.
    pub recorded: DateTime<Utc>,
    /// Options that the log was read with.
    pub options: String,
    /// Pack that holds the batch's lines; empty without any.
    pub pack: String,
    /// All lines of the batch; 0 in the records of domains.
    pub lines: i64,
    /// Lines that were kept aside and became the domain's when it was registered.
    pub counted_later: i64,
    /// Encoded figures, opaque to the store.
    pub figures: Vec<u8>,
}

/// Undo records in a store. Every write happens under [`LockKey::Traffic`].
#[async_trait]
pub trait LogUndoRepository: Send {
    /// Adds records.
    async fn insert(&mut self, records: &[UndoRecord]) -> StorageResult<()>;
    /// The records of a log, in the order in which they were added.
    async fn of_source(&mut self, source_id: LogSourceId) -> StorageResult<Vec<UndoRecord>>;
    /// Removes the records of a log; how many.
    async fn delete(&mut self, source_id: LogSourceId) -> StorageResult<u64>;
    /// Removes the records from before a time; how many.
    async fn expire(&mut self, before: DateTime<Utc>) -> StorageResult<u64>;
    /// The packs that records name, each once and in order.
    async fn packs(&mut self) -> StorageResult<Vec<String>>;
}

/// Log that is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetLog {
    /// Name that errors call it by.
    pub name: String,
    /// The log as it was recognised.
    pub source_id: LogSourceId,
    /// Options that it is said to have been read with.
    pub options: String,
}

impl Settings {
    /// Time for which an ingested log can be forgotten.
    pub(super) fn undo_time(&self) -> TimeDelta {
        let days = UNDO_DAYS.min(self.traffic_days).min(self.city_days).min(self.log_days);
        TimeDelta::days(days.into())
    }
}

/// Records of a batch: one that counts its lines, and one per domain.
pub(super) fn records(batch: &UndoneBatch<'_>, sums: &CellSums) -> Vec<UndoRecord> {
    let &UndoneBatch { source_id, recorded, options, pack, lines } = batch;
    let record = |domain_id, lines, figures: &RowFigures| UndoRecord {
        source_id,
        domain_id,
        recorded,
        options: options.to_owned(),
        pack: pack.to_owned(),
        lines,
        counted_later: 0,
        figures: figures.encode(),
    };
    let mut all = vec![record(DomainId::UNSAVED, lines, &RowFigures::default())];
    let (cells, city_cells) = (sums.cells(), sums.city_cells());
    let domains: BTreeSet<_> = cells.iter().map(|cell| cell.domain_id).collect();
    for domain_id in domains {
        let own = cells.iter().filter(|cell| cell.domain_id == domain_id);
        let own_cities = city_cells.iter().filter(|cell| cell.domain_id == domain_id);
        let city_cell =
            |&CityCell { bucket, city_id, flux, .. }: &CityCell| RowCityCell { bucket, city_id, flux };
        let figures = RowFigures {
            cells: own.map(|cell| (cell.bucket, cell.figures)).collect(),
            city_cells: own_cities.map(city_cell).collect(),
        };
        all.push(record(domain_id, 0, &figures));
    }
    all
}

/// Batch whose records are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct UndoneBatch<'a> {
    pub(super) source_id: LogSourceId,
    pub(super) recorded: DateTime<Utc>,
    pub(super) options: &'a str,
    pub(super) pack: &'a str,
    pub(super) lines: i64,
}

impl LogIntake<'_> {
    /// Forgets logs that `ingest` read: their traffic, cities and kept lines, what was kept aside of them, and that they were
    /// read. All of them or, where one is refused, none; answers what was counted of them. Of the command line, which needs no
    /// permission.
    pub async fn forget(&self, edge: &EdgeRef, logs: &[ForgetLog]) -> Result<Vec<Counters>> {
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let mut counted = Vec::new();
        for log in logs {
            let source = work.log_sources().by_id(log.source_id).await?;
            let source = source.filter(|held| held.cdn_id == edge.cdn_id && held.edge == edge.edge);
            let source = source.ok_or_else(|| refused(log, "was forgotten already"))?;
            self.forget_one(&mut *work, log, &source).await?;
            counted.push(source.counters);
        }
        work.commit().await?;
        Ok(counted)
    }

    async fn forget_one(&self, work: &mut dyn UnitOfWork, log: &ForgetLog, source: &LogSource) -> Result<()> {
        let records = work.log_undo().of_source(source.id).await?;
        self.check_records(log, source, &records)?;
        // What such a log shares with this one would be taken for known, and never be counted again.
        if work.log_sources().find(source.cdn_id, &source.edge, &[source.key]).await?.len() > 1 {
            return Err(refused(
                log,
                "cannot be forgotten, because another log that was read begins as it does",
            ));
        }
        let sums = negative_sums(&records)?;
        work.traffic().add(&sums.cells()).await?;
        work.cities().add(&sums.city_cells()).await?;
        let mut chunks = Vec::new();
        let packs: BTreeSet<_> =
            records.iter().map(|record| &*record.pack).filter(|pack| !pack.is_empty()).collect();
        for pack in packs {
            chunks.extend(work.log_chunks().of_pack(pack).await?);
        }
        let counted_later: i64 = records.iter().map(|record| record.counted_later).sum();
        if chunks.iter().map(|chunk| chunk.lines).sum::<i64>() != source.counters.kept + counted_later {
            let why = "cannot be forgotten, because some of its kept lines are gone or in the file of a day already";
            return Err(refused(log, why));
        }
        let ids: Vec<_> = chunks.iter().map(|chunk| chunk.id).collect();
        work.log_chunks().delete(&ids).await?;
        work.top_urls().delete_source(source.id).await?;
        work.unregistered().delete_source(source.id).await?;
        work.log_undo().delete(source.id).await?;
        let edge = EdgeRef { cdn_id: source.cdn_id, edge: source.edge.clone() };
        edge_log::take_back(work, &edge, source.length, source.counters).await?;
        work.log_sources().delete(source.id).await?;
        Ok(())
    }

    /// Refuses a log that was not read by `ingest` alone, and with these options, within the time that records are kept.
    fn check_records(self, log: &ForgetLog, source: &LogSource, records: &[UndoRecord]) -> Result<()> {
        let since = self.0.clock().now() - self.0.settings().undo_time();
        let lines: i64 = records.iter().map(|record| record.lines).sum();
        if lines != source.counters.lines || records.iter().any(|record| record.recorded < since) {
            let days = self.0.settings().undo_time().num_days();
            let why =
                format!("cannot be forgotten: it was not read by ingest alone, or more than {days} days ago");
            return Err(refused(log, &why));
        }
        match records.iter().find(|record| record.options != log.options) {
            Some(other) => {
                Err(refused(log, &format!("was read with {}, not with {}", other.options, log.options)))
            }
            None => Ok(()),
        }
    }
}

fn refused(log: &ForgetLog, why: &str) -> Error {
    Error::conflict(format!("{} {why}", log.name))
}

/// Sums of what is to be taken back.
fn negative_sums(records: &[UndoRecord]) -> Result<CellSums> {
    let mut sums = CellSums::default();
    for record in records {
        let domain_id = record.domain_id;
        let figures = RowFigures::decode(&record.figures);
        let figures = figures.ok_or(StorageError::Corrupt { what: "figures of an undo record" })?;
        for (bucket, figures) in figures.cells {
            sums.add(Cell { domain_id, bucket, figures: negative(figures) });
        }
        for RowCityCell { bucket, city_id, flux } in figures.city_cells {
            sums.add_city(CityCell { domain_id, bucket, city_id, flux: flux.saturating_neg() });
        }
    }
    Ok(sums)
}

fn negative(figures: Figures) -> Figures {
    Figures::of_counts(figures.flux.saturating_neg(), figures.counts().map(i64::saturating_neg))
}
