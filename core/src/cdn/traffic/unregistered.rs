//! Unregistered hosts: log lines of hosts that are no domain's are kept aside, and counted when a customer gets the domain.
//!
//! What is kept aside are the lines, in packs of the archive, and the figures that they would have been. Registering the host
//! within `unregistered_days` moves both to the domain, in the transaction that registers it. Lines of a host that the cdn's
//! settings list are within no limit and have no age: they wait for its first owner.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

use super::bucket::Cell;
use super::city::{CityCell, CityId};
use super::log_chunk::{LogChunk, LogChunkId, LogFile};
use super::log_intake::{BatchCityCell, CellSums, KeptLines, LogIntake, city_id};
use super::log_source::LogSourceId;
use super::log_undo::UndoRecord;
use super::unregistered_figures::{RowCityCell, RowFigures};
use crate::account::{Caller, Group};
use crate::cdn::customers::cdn_named;
use crate::cdn::identifier::{CdnId, DomainId};
use crate::id::id;
use crate::ports::{LockKey, StorageError, StorageResult, UnitOfWork};
use crate::{Pilothouse, Result};

/// Most hosts of a cdn that lines are kept aside of.
const MAX_HOSTS: i64 = 1000;
/// Most bytes of lines, before compression, that are kept aside of a cdn: 1 GiB.
const MAX_BYTES: i64 = 1 << 30;
/// Most rows of a cdn. A batch of a followed log makes one per host and day, and they are merged every few minutes.
const MAX_ROWS: i64 = 1_000_000;
/// Rows dropped at once where there are too many.
const DROPPED_AT_ONCE: i64 = 16;
/// Name under which lines are counted as dropped whose host is not listed any more. It is no host's.
pub const OTHER_HOSTS: &str = "*";

id! {
    /// The id of kept-aside lines; later ones are greater.
    UnregisteredLinesId
}

/// Lines of one unregistered host and day in a batch, in its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchUnregistered {
    /// Host, as a domain's name is kept.
    pub host: String,
    /// Time of the earliest line in unix seconds.
    pub first: i64,
    /// Time of the latest line in unix seconds.
    pub last: i64,
    /// Place of the lines in the pack; the domain is ignored.
    pub kept: KeptLines,
    /// Traffic that they would have been; the domain is ignored.
    pub cells: Vec<Cell>,
    /// The same by city; the domain is ignored.
    pub city_cells: Vec<BatchCityCell>,
}

/// Lines of one unregistered host that are kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnregisteredLines {
    /// Id; later ones are greater.
    pub id: UnregisteredLinesId,
    /// The cdn whose edge wrote them.
    pub cdn_id: CdnId,
    /// Host, as a domain's name is kept.
    pub host: String,
    /// The log that they were read from; [`LogSourceId::UNSAVED`] of merged ones.
    pub source_id: LogSourceId,
    /// Time at which they were recorded, which their retention counts from.
    pub recorded: DateTime<Utc>,
    /// Time of the earliest line in unix seconds.
    pub first: i64,
    /// Time of the latest line in unix seconds.
    pub last: i64,
    /// The day, in the server's zone.
    pub day: NaiveDate,
    /// The day from which they would have been kept.
    pub kept_from: NaiveDate,
    /// File that holds them.
    pub file: LogFile,
    /// Offset in that file, in bytes.
    pub offset: i64,
    /// Compressed size in bytes.
    pub length: i64,
    /// Number of log lines.
    pub lines: i64,
    /// Bytes before compression.
    pub raw_length: i64,
    /// Whether they are one line that had no line end, and may be withdrawn when it grows.
    pub is_open: bool,
    /// Encoded figures: at most some 100 bytes per bucket and city; opaque to the store.
    pub figures: Vec<u8>,
}

/// Unregistered host with what is kept aside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnregisteredHost {
    /// The cdn whose edges were asked for it.
    pub cdn_id: CdnId,
    /// Host, or [`OTHER_HOSTS`].
    pub host: String,
    /// Lines that are kept aside.
    pub lines: i64,
    /// Bytes of these lines before compression.
    pub bytes: i64,
    /// Time of the earliest and of the latest of these lines in unix seconds; none without lines.
    pub times: Option<(i64, i64)>,
    /// Lines that were dropped because there was too much.
    pub dropped: i64,
    /// Whether the cdn's settings list it, so that nothing of it is dropped or pruned.
    pub is_listed: bool,
}

/// Totals of what is kept aside of a cdn, without its listed hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnregisteredUsage {
    /// Hosts with lines.
    pub hosts: i64,
    /// Rows.
    pub rows: i64,
    /// Bytes of the lines before compression.
    pub bytes: i64,
}

/// Key of the rows that may be merged into one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnregisteredKey {
    /// The cdn of the rows.
    pub cdn_id: CdnId,
    /// Host of the rows.
    pub host: String,
    /// Day of the rows.
    pub day: NaiveDate,
    /// Whether they are merged ones.
    pub is_merged: bool,
}

/// Kept-aside lines in a store. Every write happens under [`LockKey::Traffic`].
#[async_trait]
pub trait UnregisteredRepository: Send {
    /// Adds lines, ignoring `id`.
    async fn insert(&mut self, lines: &[UnregisteredLines]) -> StorageResult<()>;
    /// Forgets the lines at an offset of a pack; whether there were any.
    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool>;
    /// The hosts of a cdn, by name, with [`OTHER_HOSTS`] where lines of such were dropped.
    async fn hosts(&mut self, cdn_id: CdnId) -> StorageResult<Vec<UnregisteredHost>>;
    /// Totals of a cdn, without its listed hosts.
    async fn usage(&mut self, cdn_id: CdnId) -> StorageResult<UnregisteredUsage>;
    /// Forgets a host of a cdn and returns its lines, by id.
    async fn take(&mut self, cdn_id: CdnId, host: &str) -> StorageResult<Vec<UnregisteredLines>>;
    /// Notes whether the settings of a cdn list a host of which lines are kept aside; nothing of one that has none.
    async fn set_listed(&mut self, cdn_id: CdnId, host: &str, is_listed: bool) -> StorageResult<()>;
    /// Drops the host of a cdn whose last lines were recorded first, of those that are not listed, and counts its lines as
    /// dropped.
    async fn drop_host(&mut self, cdn_id: CdnId) -> StorageResult<()>;
    /// Drops the first `count` rows of hosts of a cdn that are not listed, by id, and counts their lines as dropped.
    async fn drop_first(&mut self, cdn_id: CdnId, count: i64) -> StorageResult<()>;
    /// Keys that at least `rows` rows have, at most `count` of them, in no order. Open lines, and those of a log that has undo
    /// records, are none of any key.
    async fn crowded(&mut self, rows: i64, count: i64) -> StorageResult<Vec<UnregisteredKey>>;
    /// The first `count` rows of a key, by id.
    async fn of_key(&mut self, key: &UnregisteredKey, count: i64) -> StorageResult<Vec<UnregisteredLines>>;
    /// Forgets rows; how many.
    async fn delete(&mut self, ids: &[UnregisteredLinesId]) -> StorageResult<u64>;
    /// Counts further lines of a host as dropped; of one without lines under [`OTHER_HOSTS`].
    async fn count_dropped(&mut self, cdn_id: CdnId, host: &str, lines: i64) -> StorageResult<()>;
    /// Forgets the lines of a log; how many rows.
    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64>;
    /// Forgets the first `count` rows of hosts that are not listed, by id, that were recorded before a time; how many.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
    /// The files that lines lie in, each once, in no order.
    async fn files(&mut self) -> StorageResult<Vec<LogFile>>;
}

/// Source, pack and time of a batch that is being recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recording<'a> {
    pub(super) cdn_id: CdnId,
    pub(super) source_id: LogSourceId,
    pub(super) pack: &'a str,
    pub(super) recorded: DateTime<Utc>,
    /// The day, in the server's zone.
    pub(super) today: NaiveDate,
}

/// Row of the lines of a batch. `cities` are the ids of the batch's cities.
pub(super) fn row(
    lines: &BatchUnregistered,
    cities: &[CityId],
    recording: &Recording<'_>,
) -> Result<UnregisteredLines> {
    let &Recording { cdn_id, source_id, pack, recorded, today } = recording;
    let mut figures = RowFigures::default();
    figures.cells.extend(lines.cells.iter().map(|cell| (cell.bucket, cell.figures)));
    for cell in &lines.city_cells {
        let city_id = city_id(cities, cell.city)?;
        figures.city_cells.push(RowCityCell { bucket: cell.bucket, city_id, flux: cell.flux });
    }
    let KeptLines { day, offset, length, lines: count, raw_length, is_open, .. } = lines.kept;
    Ok(UnregisteredLines {
        id: UnregisteredLinesId::UNSAVED,
        cdn_id,
        host: lines.host.clone(),
        source_id,
        recorded,
        first: lines.first,
        last: lines.last,
        day,
        kept_from: day.max(today),
        file: LogFile::Pack(pack.to_owned()),
        offset,
        length,
        lines: count,
        raw_length,
        is_open,
        figures: figures.encode(),
    })
}

/// Adds lines that were kept aside to a domain: its traffic, its cities and its kept lines.
pub(super) async fn count_for(
    work: &mut dyn UnitOfWork,
    domain_id: DomainId,
    rows: &[UnregisteredLines],
) -> Result<()> {
    let mut sums = CellSums::default();
    for row in rows {
        let figures = RowFigures::decode(&row.figures);
        let figures = figures.ok_or(StorageError::Corrupt { what: "figures of unregistered lines" })?;
        for (bucket, figures) in figures.cells {
            sums.add(Cell { domain_id, bucket, figures });
        }
        for RowCityCell { bucket, city_id, flux } in figures.city_cells {
            sums.add_city(CityCell { domain_id, bucket, city_id, flux });
        }
    }
    work.traffic().add(&sums.cells()).await?;
    work.cities().add(&sums.city_cells()).await?;
    record_undo(work, domain_id, rows).await?;
    // In the order in which they were written, which merging does not keep.
    let mut in_order: Vec<_> = rows.iter().collect();
    in_order.sort_by_key(|row| row.first);
    let chunks: Vec<_> = in_order.into_iter().map(|row| chunk(row, domain_id)).collect();
    Ok(work.log_chunks().insert(&chunks).await?)
}

/// Adds what is counted now to the undo records of the logs that it was read from, where they have some.
async fn record_undo(
    work: &mut dyn UnitOfWork,
    domain_id: DomainId,
    rows: &[UnregisteredLines],
) -> StorageResult<()> {
    let mut sources: Vec<_> = rows.iter().map(|row| row.source_id).collect();
    sources.sort_unstable();
    sources.dedup();
    for source_id in sources {
        let Some(known) = work.log_undo().of_source(source_id).await?.into_iter().next() else { continue };
        let own = rows.iter().filter(|row| row.source_id == source_id);
        let record = |row: &UnregisteredLines| UndoRecord {
            domain_id,
            pack: pack(&row.file).to_owned(),
            lines: 0,
            counted_later: row.lines,
            figures: row.figures.clone(),
            ..known.clone()
        };
        let records: Vec<_> = own.map(record).collect();
        work.log_undo().insert(&records).await?;
    }
    Ok(())
}

fn pack(file: &LogFile) -> &str {
    match file {
        LogFile::Pack(name) | LogFile::Sealed(name) => name,
    }
}

/// Kept lines of a domain. An open line is none any more: what it would be withdrawn from is not kept apart.
pub(super) fn chunk(row: &UnregisteredLines, domain_id: DomainId) -> LogChunk {
    LogChunk {
        id: LogChunkId::UNSAVED,
        domain_id,
        day: row.day,
        kept_from: row.kept_from,
        file: row.file.clone(),
        offset: row.offset,
        length: row.length,
        lines: row.lines,
        raw_length: row.raw_length,
        place: 0,
        is_open: false,
        sha256: None,
    }
}

/// Keeps lines aside, and drops the oldest beyond what a cdn may have of hosts that are not `listed`.
pub(super) async fn keep(
    work: &mut dyn UnitOfWork,
    cdn_id: CdnId,
    rows: &[UnregisteredLines],
    dropped: i64,
    listed: &HashSet<String>,
) -> Result<()> {
    work.unregistered().insert(rows).await?;
    let hosts: BTreeSet<_> = rows.iter().map(|row| &row.host).filter(|host| listed.contains(*host)).collect();
    for host in hosts {
        work.unregistered().set_listed(cdn_id, host, true).await?;
    }
    if dropped > 0 {
        work.unregistered().count_dropped(cdn_id, OTHER_HOSTS, dropped).await?;
    }
    let mut usage = work.unregistered().usage(cdn_id).await?;
    while usage.hosts > MAX_HOSTS {
        work.unregistered().drop_host(cdn_id).await?;
        usage = work.unregistered().usage(cdn_id).await?;
    }
    while usage.bytes > MAX_BYTES || usage.rows > MAX_ROWS {
        work.unregistered().drop_first(cdn_id, DROPPED_AT_ONCE).await?;
        usage = work.unregistered().usage(cdn_id).await?;
    }
    Ok(())
}

impl Pilothouse {
    /// Counts what was kept aside of domains that a customer has got, within the transaction that registers them.
    pub(in crate::cdn) async fn count_unregistered(
        &self,
        work: &mut dyn UnitOfWork,
        cdn_id: CdnId,
        names: &[String],
    ) -> Result<()> {
        // Whoever records lines of these hosts at this moment sees the domains afterwards, or is waited for.
        work.lock(LockKey::Traffic).await?;
        let known: HashMap<_, _> = work
            .unregistered()
            .hosts(cdn_id)
            .await?
            .into_iter()
            .map(|host| (host.host.clone(), host))
            .collect();
        for name in names {
            let Some(host) = known.get(name) else { continue };
            let Some(domain) = work.domains().find(cdn_id, name).await? else { continue };
            let rows = work.unregistered().take(cdn_id, name).await?;
            count_for(work, domain.id, &rows).await?;
            let UnregisteredHost { lines, dropped, .. } = *host;
            tracing::info!(host = name, lines, dropped, "lines of an unregistered host are counted");
        }
        Ok(())
    }
}

/// Unregistered host, with the name of its cdn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUnregisteredHost {
    /// The cdn, by name.
    pub cdn: String,
    /// The host.
    pub host: UnregisteredHost,
}

impl LogIntake<'_> {
    /// The unregistered hosts of a cdn, or of all, of which lines are kept aside or were dropped; needs group 8.
    pub async fn unregistered(
        &self,
        caller: &Caller,
        cdn: Option<&str>,
    ) -> Result<Vec<NamedUnregisteredHost>> {
        self.0.require(caller, Group::Cdn)?;
        let mut snapshot = self.0.storage().read().await?;
        let cdns = match cdn {
            Some(cdn) => vec![cdn_named(&mut *snapshot, "cdn", cdn).await?],
            None => snapshot.cdns().list().await?,
        };
        let mut found = Vec::new();
        for cdn in cdns {
            let listed = self.0.listed_hosts(&mut *snapshot, cdn.id).await?;
            for mut host in snapshot.unregistered().hosts(cdn.id).await? {
                // The store is told of changed settings a few minutes later.
                host.is_listed = listed.contains(&host.host);
                found.push(NamedUnregisteredHost { cdn: cdn.name.clone(), host });
            }
        }
        Ok(found)
    }
}
