//! Log intake: records batches of access logs, each as a whole or not at all, and never twice.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::bucket::{Bucket, Cell, Figures};
use super::city::{City, CityCell, CityId};
use super::edge_log;
use super::log_chunk::{LogChunk, LogChunkId, LogFile};
use super::log_source::{Counters, LogSource, LogSourceId, SourceKey};
use super::log_undo::{self, UndoneBatch};
use super::top_urls::TopUrls;
use super::unregistered::{self, BatchUnregistered, Recording};
use crate::cdn::customers::{cdn_named, domain_name};
use crate::cdn::identifier::{CdnId, DomainId};
use crate::ports::{LockKey, UnitOfWork};
use crate::{Error, Pilothouse, Result, check_text};

/// The edge whose logs are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRef {
    /// The cdn it belongs to.
    pub cdn_id: CdnId,
    /// Name: 1 to 64 bytes.
    pub edge: String,
}

/// Sources that a log may be, and where the list ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSources {
    /// Known sources with one of the keys, by id.
    pub sources: Vec<LogSource>,
    /// The keys asked for and the greatest id there was: what a new source is compared with when it is recorded.
    pub seen: Seen,
}

impl KnownSources {
    /// Whether anything was ever read of the edge.
    pub fn knows_edge(&self) -> bool {
        self.seen.newest.is_some()
    }
}

/// Knowledge of a reader that found no source to go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    keys: Vec<SourceKey>,
    newest: Option<LogSourceId>,
}

/// Source that a batch changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// A log nobody has read before, as far as the reader has seen.
    New(Seen),
    /// The source with this id, as long as its length is still this many bytes.
    Continued(LogSourceId, i64),
}

impl Default for SourceChange {
    fn default() -> Self {
        Self::New(Seen::default())
    }
}

/// Lines of one domain and day, kept in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLines {
    /// Domain whose lines they are.
    pub domain_id: DomainId,
    /// The day, in the server's zone.
    pub day: NaiveDate,
    /// Offset in the pack, in bytes.
    pub offset: i64,
    /// Compressed size in bytes.
    pub length: i64,
    /// Number of log lines in it.
    pub lines: i64,
    /// Their bytes before compression.
    pub raw_length: i64,
    /// Whether they are one line that had no line end, and may be withdrawn when it grows.
    pub is_open: bool,
}

impl KeptLines {
    fn in_pack(&self, pack: &str, today: NaiveDate) -> LogChunk {
        let &KeptLines { domain_id, day, offset, length, lines, raw_length, is_open } = self;
        LogChunk {
            id: LogChunkId::UNSAVED,
            domain_id,
            day,
            kept_from: day.max(today),
            file: LogFile::Pack(pack.to_owned()),
            offset,
            length,
            lines,
            raw_length,
            place: 0,
            is_open,
            sha256: None,
        }
    }
}

/// Bytes of one domain to one city of a batch in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCityCell {
    /// Domain that was requested.
    pub domain_id: DomainId,
    /// Bucket of the requests.
    pub bucket: Bucket,
    /// City of the clients: an index into [`Batch::cities`].
    pub city: usize,
    /// Bytes sent.
    pub flux: i64,
}

/// A batch: everything that a stretch of a log changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Edge that wrote the log.
    pub edge: EdgeRef,
    /// Source to create, or to move on.
    pub change: SourceChange,
    /// The source's key from now on.
    pub key: SourceKey,
    /// The source's length from now on, in bytes.
    pub length: i64,
    /// The source's state from now on: at most 64 KiB.
    pub state: Vec<u8>,
    /// Counters to add to the source's.
    pub counters: Counters,
    /// Earliest time of a line, in unix seconds.
    pub first_line: Option<i64>,
    /// Time of the last line that has one, in unix seconds.
    pub last_line: Option<i64>,
    /// Cells to add to the traffic. No figure but the bytes is beyond 10^15.
    pub cells: Vec<Cell>,
    /// The cities that `city_cells` name.
    pub cities: Vec<City>,
    /// Cells to add to the traffic by city, of known cities only.
    pub city_cells: Vec<BatchCityCell>,
    /// Most requested paths of domains by hour, to be merged.
    pub top_urls: Vec<TopUrls>,
    /// The pack that holds `kept`, in the archive already: its name.
    pub pack: String,
    /// The lines it holds.
    pub kept: Vec<KeptLines>,
    /// Lines kept earlier that are no longer part of the log: their pack and offset.
    pub withdrawn: Option<(String, i64)>,
    /// Lines of unregistered hosts, in the same pack, to be kept aside.
    pub unregistered: Vec<BatchUnregistered>,
    /// Lines of unregistered hosts that the reader dropped because there were too many hosts.
    pub unregistered_dropped: i64,
    /// Lines kept aside earlier that are no longer part of the log: their pack and offset.
    pub withdrawn_unregistered: Option<(String, i64)>,
    /// Options that the log is read with, where it is to be possible to forget it again.
    pub undo_options: Option<String>,
}

/// The longest state of a source.
const MAX_STATE: usize = 64 << 10;
/// The most requests of a cell.
const MAX_COUNT: u64 = 1_000_000_000_000_000;
/// The first second of the year 10000, in buckets: later ones are no time of a log.
const END_OF_TIME: i64 = 253_402_300_800 / 300;

/// The use cases of log intake. They belong to programs that read logs, and ask for no permission.
#[derive(Clone, Copy, Debug)]
pub struct LogIntake<'a>(pub(crate) &'a Pilothouse);

impl LogIntake<'_> {
    /// The edge of a cdn, by the names of both. Not found where there is no such cdn. Needs no permission.
    pub async fn edge(&self, cdn: &str, edge: &str) -> Result<EdgeRef> {
        check_text("edge", edge, 1, 64, false)?;
        let mut snapshot = self.0.storage().read().await?;
        let found = cdn_named(&mut *snapshot, "cdn", cdn).await?;
        Ok(EdgeRef { cdn_id: found.id, edge: edge.to_owned() })
    }

    /// The sources of an edge with one of the keys. Of the command line, which needs no permission.
    pub async fn sources(&self, edge: &EdgeRef, keys: &[SourceKey]) -> Result<KnownSources> {
        let mut snapshot = self.0.storage().read().await?;
        let newest = snapshot.log_sources().newest(edge.cdn_id, &edge.edge).await?;
        let sources = snapshot.log_sources().find(edge.cdn_id, &edge.edge, keys).await?;
        Ok(KnownSources { sources, seen: Seen { keys: keys.to_vec(), newest } })
    }

    /// Records a batch as a whole or not at all, and answers the id of its source. Of the command line, which needs no
    /// permission.
    ///
    /// A conflict when somebody else has read the same log meanwhile; reading it again then finds out what is new.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn record(&self, batch: Batch) -> Result<LogSourceId> {
        batch.check()?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let id = self.record_source(&mut *work, &batch).await?;
        let cities = intern_cities(&mut *work, &batch).await?;
        let sums = sums(&batch, &cities)?;
        work.traffic().add(&sums.cells()).await?;
        work.cities().add(&sums.city_cells()).await?;
        let now = self.0.clock().now();
        edge_log::add_batch(&mut *work, &batch, batch.length.saturating_sub(batch.length_before()), now)
            .await?;
        // Of a log that may be forgotten they stay its own.
        let log = if batch.undo_options.is_some() { id } else { LogSourceId::UNSAVED };
        let pieces: Vec<_> = batch.top_urls.iter().map(|top| top.piece(log, now)).collect();
        work.top_urls().insert(&pieces).await?;
        if let Some((pack, offset)) = &batch.withdrawn {
            work.log_chunks().withdraw(pack, *offset).await?;
        }
        withdraw_unregistered(&mut *work, &batch).await?;
        if let Some(options) = &batch.undo_options {
            let (pack, lines) = (&*batch.pack, batch.counters.lines);
            let undone = UndoneBatch { source_id: id, recorded: now, options, pack, lines };
            work.log_undo().insert(&log_undo::records(&undone, &sums)).await?;
        }
        self.record_unregistered(&mut *work, &batch, &cities, id).await?;
        let today = self.0.today();
        let chunks: Vec<_> = batch.kept.iter().map(|kept| kept.in_pack(&batch.pack, today)).collect();
        work.log_chunks().insert(&chunks).await?;
        work.commit().await?;
        Ok(id)
    }

    /// Keeps lines of unregistered hosts aside; those of hosts that were registered since the reader looked are counted.
    async fn record_unregistered(
        &self,
        work: &mut dyn UnitOfWork,
        batch: &Batch,
        cities: &[CityId],
        source_id: LogSourceId,
    ) -> Result<()> {
        if batch.unregistered.is_empty() && batch.unregistered_dropped == 0 {
            return Ok(());
        }
        let cdn_id = batch.edge.cdn_id;
        let (recorded, today) = (self.0.clock().now(), self.0.today());
        let recording = Recording { cdn_id, source_id, pack: &batch.pack, recorded, today };
        let mut rows = BTreeMap::<_, Vec<_>>::new();
        for lines in &batch.unregistered {
            rows.entry(&*lines.host).or_default().push(unregistered::row(lines, cities, &recording)?);
        }
        let mut kept = Vec::new();
        for (host, rows) in rows {
            match work.domains().find(cdn_id, host).await? {
                Some(domain) => unregistered::count_for(work, domain.id, &rows).await?,
                None => kept.extend(rows),
            }
        }
        let listed = self.0.listed_hosts(work, cdn_id).await?;
        unregistered::keep(work, cdn_id, &kept, batch.unregistered_dropped, &listed).await
    }

    async fn record_source(&self, work: &mut dyn UnitOfWork, batch: &Batch) -> Result<LogSourceId> {
        let EdgeRef { cdn_id, edge } = batch.edge.clone();
        let mut source = LogSource {
            id: LogSourceId::UNSAVED,
            cdn_id,
            edge,
            key: batch.key,
            length: batch.length,
            state: batch.state.clone(),
            counters: batch.counters,
            recorded: self.0.clock().now(),
            skipped: 0,
        };
        let read_meanwhile = || Error::conflict("this log was read by somebody else meanwhile");
        match &batch.change {
            SourceChange::New(seen) => {
                let found = work.log_sources().find(cdn_id, &source.edge, &seen.keys).await?;
                if found.iter().any(|found| Some(found.id) > seen.newest) {
                    return Err(read_meanwhile());
                }
                Ok(work.log_sources().insert(&source).await?)
            }
            &SourceChange::Continued(id, length) => {
                let held = work.log_sources().by_id(id).await?;
                let held = held.filter(|held| held.cdn_id == cdn_id && held.edge == source.edge);
                let held = held.ok_or_else(|| Error::not_found("the source of this log"))?;
                source.id = id;
                source.counters.add(held.counters);
                source.skipped = held.skipped;
                if !work.log_sources().update(&source, length).await? {
                    return Err(read_meanwhile());
                }
                Ok(id)
            }
        }
    }
}

/// Sums of cells and of city cells, each once and in order.
#[derive(Debug, Default)]
pub(super) struct CellSums {
    cells: BTreeMap<(DomainId, Bucket), Figures>,
    city_cells: BTreeMap<(DomainId, Bucket, CityId), i64>,
}

impl CellSums {
    pub(super) fn add(&mut self, cell: Cell) {
        self.cells.entry((cell.domain_id, cell.bucket)).or_default().add(cell.figures);
    }

    pub(super) fn add_city(&mut self, cell: CityCell) {
        // Two cities of a batch can be one, where its city database names one number twice.
        let sum = self.city_cells.entry((cell.domain_id, cell.bucket, cell.city_id)).or_default();
        *sum = sum.saturating_add(cell.flux);
    }

    pub(super) fn cells(&self) -> Vec<Cell> {
        let cell = |(&(domain_id, bucket), &figures)| Cell { domain_id, bucket, figures };
        self.cells.iter().map(cell).collect()
    }

    pub(super) fn city_cells(&self) -> Vec<CityCell> {
        let cell = |(&(domain_id, bucket, city_id), &flux)| CityCell { domain_id, bucket, city_id, flux };
        self.city_cells.iter().map(cell).collect()
    }
}

/// The ids of a batch's cities, if any of its cells names one.
async fn intern_cities(work: &mut dyn UnitOfWork, batch: &Batch) -> Result<Vec<CityId>> {
    let of_unregistered = || batch.unregistered.iter().any(|lines| !lines.city_cells.is_empty());
    if batch.city_cells.is_empty() && !of_unregistered() {
        return Ok(Vec::new());
    }
    Ok(work.cities().intern(&batch.cities).await?)
}

fn sums(batch: &Batch, cities: &[CityId]) -> Result<CellSums> {
    let mut sums = CellSums::default();
    batch.cells.iter().for_each(|cell| sums.add(*cell));
    for &BatchCityCell { domain_id, bucket, city, flux } in &batch.city_cells {
        sums.add_city(CityCell { domain_id, bucket, city_id: city_id(cities, city)?, flux });
    }
    Ok(sums)
}

/// Id of the city at a place in [`Batch::cities`].
pub(super) fn city_id(cities: &[CityId], place: usize) -> Result<CityId> {
    let found = cities.get(place).copied();
    found.ok_or_else(|| Error::invalid("city_cells", "must name places in cities"))
}

/// Withdraws an open line that was kept aside. Where its host was registered since the reader looked, the line is counted and
/// cannot be taken back by what the reader knows, so the log is to be read again.
async fn withdraw_unregistered(work: &mut dyn UnitOfWork, batch: &Batch) -> Result<()> {
    let Some((pack, offset)) = &batch.withdrawn_unregistered else { return Ok(()) };
    if !work.unregistered().withdraw(pack, *offset).await?
        && work.log_chunks().withdraw(pack, *offset).await?
    {
        return Err(Error::conflict("the host of this log's last line was registered meanwhile"));
    }
    Ok(())
}

impl Batch {
    /// Length of the source before this batch, in bytes.
    fn length_before(&self) -> i64 {
        match self.change {
            SourceChange::New(_) => 0,
            SourceChange::Continued(_, length) => length,
        }
    }

    fn check(&self) -> Result<()> {
        check_text("edge", &self.edge.edge, 1, 64, false)?;
        if self.state.len() > MAX_STATE {
            return Err(Error::invalid("state", format!("must be at most {MAX_STATE} bytes")));
        }
        let cells = || self.cells.iter().chain(self.unregistered.iter().flat_map(|lines| &lines.cells));
        let of_unregistered = self.unregistered.iter().flat_map(|lines| &lines.city_cells);
        let mut city_cells = self.city_cells.iter().chain(of_unregistered);
        let in_time = |bucket| (0..END_OF_TIME).contains(&bucket);
        if !cells().all(|cell| in_time(cell.bucket)) || !city_cells.all(|cell| in_time(cell.bucket)) {
            return Err(Error::invalid("bucket", "must be of the years 1970 to 9999"));
        }
        // So many that no sum of them can overflow.
        let counts = |figures: Figures| [figures.requests, figures.hits].into_iter().chain(figures.classes);
        if cells().any(|cell| counts(cell.figures).any(|count| count.unsigned_abs() > MAX_COUNT)) {
            return Err(Error::invalid("cells", format!("must count at most {MAX_COUNT} requests each")));
        }
        self.top_urls.iter().try_for_each(TopUrls::check)?;
        self.cities.iter().try_for_each(City::check)?;
        let kept = || self.kept.iter().chain(self.unregistered.iter().map(|lines| &lines.kept));
        if kept().next().is_some() {
            check_text("pack", &self.pack, 1, 64, false)?;
        }
        for lines in &self.unregistered {
            domain_name("unregistered", &lines.host)?;
        }
        if kept().any(|kept| kept.offset < 0 || kept.length < 0 || kept.lines < 0) {
            return Err(Error::invalid("kept", "must have no negative offset, length or lines"));
        }
        Ok(())
    }
}
