//! Taking in what was read from access logs: all of a batch or nothing, and never twice.

use std::collections::BTreeMap;

use super::log::LogChunk;
use super::source::{Counters, LogSource, SourceKey};
use super::traffic::{Cell, Figures, Traffic};
use super::{CdnId, City, CityCell, Domain, DomainId, cdn_name};
use crate::ports::{LockKey, UnitOfWork};
use crate::{Error, Result, check_text};

/// The edge whose logs are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRef {
    /// The cdn it belongs to.
    pub cdn_id: CdnId,
    /// Its name: 1 to 64 bytes.
    pub edge: String,
}

/// Sources that a log may be, and where the list ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSources {
    /// What was found, by id.
    pub sources: Vec<LogSource>,
    /// The keys asked for and the greatest id there was: what a new source is compared with when it is recorded.
    pub seen: Seen,
}

impl KnownSources {
    /// Whether anything was ever read of the edge.
    pub fn knows_edge(&self) -> bool {
        self.seen.newest > 0
    }
}

/// What a reader knew when it found no source to go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    keys: Vec<SourceKey>,
    newest: i64,
}

/// Which source a batch changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// A log nobody has read before, as far as the reader has seen.
    New(Seen),
    /// The source with this id, as long as its length is still this many bytes.
    Continued(i64, i64),
}

impl Default for SourceChange {
    fn default() -> Self {
        Self::New(Seen::default())
    }
}

/// Lines of one domain and day, kept in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLines {
    /// Whose.
    pub domain_id: DomainId,
    /// The day, in the server's zone.
    pub day: chrono::NaiveDate,
    /// Where they begin in the pack, in bytes.
    pub offset: i64,
    /// Their bytes, compressed.
    pub length: i64,
    /// How many lines.
    pub lines: i64,
    /// Their bytes before compression.
    pub raw_length: i64,
    /// Whether they are one line that had no line end, and may be withdrawn when it grows.
    pub is_open: bool,
}

/// What a stretch of a log changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where the log was written.
    pub edge: EdgeRef,
    /// Which source it changes.
    pub change: SourceChange,
    /// The source's key from now on.
    pub key: SourceKey,
    /// The source's length from now on, in bytes.
    pub length: i64,
    /// The source's state from now on: at most 64 KiB.
    pub state: Vec<u8>,
    /// To be added to the source's.
    pub counters: Counters,
    /// To be added to the traffic. No figure but the bytes is beyond 10^15.
    pub cells: Vec<Cell>,
    /// The cities that `city_cells` name by their place in this list, counted from 0.
    pub cities: Vec<City>,
    /// To be added to the traffic by city, of known cities only; `city_id` is a place in `cities`.
    pub city_cells: Vec<CityCell>,
    /// The pack that holds `kept`, in the archive already: its name.
    pub pack: String,
    /// The lines it holds.
    pub kept: Vec<KeptLines>,
    /// Lines kept earlier that are no longer part of the log: their pack and offset.
    pub withdrawn: Option<(String, i64)>,
}

/// The longest state of a source.
const MAX_STATE: usize = 64 << 10;
/// The most requests of a cell.
const MAX_COUNT: u64 = 1_000_000_000_000_000;
/// The first second of the year 10000, in buckets: later ones are no time of a log.
const END_OF_TIME: i64 = 253_402_300_800 / 300;

impl Traffic<'_> {
    /// The edge of a cdn, by the names of both, and the domains it serves. Not found where there is no such cdn.
    /// Of the command line, which needs no permission.
    pub async fn edge(&self, cdn: &str, edge: &str) -> Result<(EdgeRef, Vec<Domain>)> {
        let cdn = cdn_name("cdn", cdn)?;
        check_text("edge", edge, 1, 64, false)?;
        let mut snapshot = self.0.storage().read().await?;
        let found = snapshot.cdns().by_name(&cdn).await?;
        let found = found.ok_or_else(|| Error::not_found(format!("the cdn {cdn}")))?;
        let domains = snapshot.domains().of_cdn(found.id).await?;
        Ok((EdgeRef { cdn_id: found.id, edge: edge.to_owned() }, domains))
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
    pub async fn record(&self, batch: Batch) -> Result<i64> {
        batch.check()?;
        let mut work = self.0.storage().begin().await?;
        work.lock(LockKey::Traffic).await?;
        let id = self.record_source(&mut *work, &batch).await?;
        work.traffic().add(&cells(&batch)).await?;
        record_cities(&mut *work, &batch).await?;
        if let Some((pack, offset)) = &batch.withdrawn {
            work.log_chunks().withdraw(pack, *offset).await?;
        }
        let today = self.0.today();
        let chunks: Vec<_> =
            batch.kept.iter().map(|kept| LogChunk::in_pack(&batch.pack, kept, today)).collect();
        work.log_chunks().insert(&chunks).await?;
        work.commit().await?;
        Ok(id)
    }

    async fn record_source(&self, work: &mut dyn UnitOfWork, batch: &Batch) -> Result<i64> {
        let EdgeRef { cdn_id, edge } = batch.edge.clone();
        let mut source = LogSource {
            id: 0,
            cdn_id,
            edge,
            key: batch.key,
            length: batch.length,
            state: batch.state.clone(),
            counters: batch.counters,
            recorded: self.0.clock().now(),
        };
        let read_meanwhile = || Error::conflict("this log was read by somebody else meanwhile");
        match &batch.change {
            SourceChange::New(seen) => {
                let found = work.log_sources().find(cdn_id, &source.edge, &seen.keys).await?;
                if found.iter().any(|found| found.id > seen.newest) {
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
                if !work.log_sources().update(&source, length).await? {
                    return Err(read_meanwhile());
                }
                Ok(id)
            }
        }
    }
}

/// The cells in order, each once.
fn cells(batch: &Batch) -> Vec<Cell> {
    let mut sums = BTreeMap::<_, Figures>::new();
    for cell in &batch.cells {
        sums.entry((cell.domain_id, cell.bucket)).or_default().add(cell.figures);
    }
    let cell = |((domain_id, bucket), figures)| Cell { domain_id, bucket, figures };
    sums.into_iter().map(cell).collect()
}

async fn record_cities(work: &mut dyn UnitOfWork, batch: &Batch) -> Result<()> {
    if batch.city_cells.is_empty() {
        return Ok(());
    }
    let ids = work.cities().intern(&batch.cities).await?;
    let mut sums = BTreeMap::<_, i64>::new();
    for cell in &batch.city_cells {
        let city_id = usize::try_from(cell.city_id).ok().and_then(|place| ids.get(place));
        let city_id = *city_id.ok_or_else(|| Error::invalid("city_cells", "must name places in cities"))?;
        // Two cities of a batch can be one, where its city database names one number twice.
        let sum = sums.entry((cell.domain_id, cell.bucket, city_id)).or_default();
        *sum = sum.saturating_add(cell.flux);
    }
    let cell = |((domain_id, bucket, city_id), flux)| CityCell { domain_id, bucket, city_id, flux };
    let cells: Vec<_> = sums.into_iter().map(cell).collect();
    Ok(work.cities().add(&cells).await?)
}

impl Counters {
    /// Adds.
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.billed += other.billed;
        self.kept += other.kept;
        self.unreadable += other.unreadable;
        self.unregistered += other.unregistered;
        self.purges += other.purges;
    }
}

impl Batch {
    fn check(&self) -> Result<()> {
        check_text("edge", &self.edge.edge, 1, 64, false)?;
        if self.state.len() > MAX_STATE {
            return Err(Error::invalid("state", format!("must be at most {MAX_STATE} bytes")));
        }
        let mut buckets = self.cells.iter().map(|cell| cell.bucket);
        let mut city_buckets = self.city_cells.iter().map(|cell| cell.bucket);
        let in_time = |bucket| (0..END_OF_TIME).contains(&bucket);
        if !buckets.all(in_time) || !city_buckets.all(in_time) {
            return Err(Error::invalid("bucket", "must be of the years 1970 to 9999"));
        }
        // So many that no sum of them can overflow.
        let counts = |figures: Figures| [figures.requests, figures.hits].into_iter().chain(figures.classes);
        if self.cells.iter().any(|cell| counts(cell.figures).any(|count| count.unsigned_abs() > MAX_COUNT)) {
            return Err(Error::invalid("cells", format!("must count at most {MAX_COUNT} requests each")));
        }
        self.cities.iter().try_for_each(City::check)?;
        if !self.kept.is_empty() {
            check_text("pack", &self.pack, 1, 64, false)?;
        }
        if self.kept.iter().any(|kept| kept.offset < 0 || kept.length < 0 || kept.lines < 0) {
            return Err(Error::invalid("kept", "must have no negative offset, length or lines"));
        }
        Ok(())
    }
}
