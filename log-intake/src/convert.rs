//! Conversion of what an access log says to what the domain records: the only place where the types of both meet.
//!
//! | quantity | in `pilothouse-access-log` | in `pilothouse-core` |
//! |---|---|---|
//! | time of traffic | begin of the bucket in unix seconds | number of the bucket: unix seconds by 300, rounded down |
//! | traffic | bytes and requests, `i64`, negative when withdrawn | the same |
//! | offset, length | bytes, `u64` | bytes, `i64`, never negative |
//! | city | key while its database is open | record, and its place in a list |
//! | domain | number chosen here: the domain's id | id |

use std::collections::HashMap;

use pilothouse_access_log::archive::{ArchiveFile, FileRange, Member};
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{
    BucketTotals, CheckpointId, CityKey, CityTotals, DomainIndex, DomainNumber, FormerDomain, HourPaths,
    LineCounts, LogBatch, StoredCheckpoint, UnregisteredLines,
};
use pilothouse_core::cdn::{
    BUCKET_SECONDS, Batch, BatchCityCell, BatchUnregistered, Cell, City, Counters, DomainId, Figures,
    KeptLines, LogChunk, LogFile, LogHosts, LogSource, PathCount, PathSketch, TopUrls,
};

pub(crate) fn domain_index(hosts: &LogHosts) -> DomainIndex {
    let LogHosts { domains, former, listed, former_since: _ } = hosts;
    let former = former.iter().map(|tenure| FormerDomain {
        name: &tenure.name,
        number: DomainNumber(tenure.domain_id.0),
        since: tenure.since,
        until: tenure.until,
    });
    DomainIndex::new(domains.iter().map(|domain| (&domain.name, DomainNumber(domain.id.0))))
        .with_former(former)
        .with_listed(listed)
}

pub(crate) fn stored_checkpoint(source: LogSource) -> StoredCheckpoint {
    StoredCheckpoint { id: CheckpointId(source.id.0), state: source.state }
}

/// Fills a batch that names its edge and source with the figures that were read.
pub(crate) fn filled(batch: Batch, read: LogBatch, cities: Option<&CityDatabase>) -> Batch {
    let mut places = CityPlaces { database: cities, cities: Vec::new(), places: HashMap::new() };
    let city_cells = places.city_cells(&read.city_traffic);
    let unregistered = read.unregistered.iter().map(|lines| places.unregistered(lines)).collect();
    let (pack, members) = read.pack.map(|pack| (pack.name, pack.members)).unwrap_or_default();
    Batch {
        counters: counters(read.counts),
        first_line: read.first_time,
        last_line: read.last_time,
        cells: read.traffic.iter().map(cell).collect(),
        cities: places.cities,
        city_cells,
        top_urls: read.top_paths.iter().map(top_urls).collect(),
        pack,
        kept: members.iter().map(kept_lines).collect(),
        withdrawn: read.withdrawn.map(|member| (member.pack, signed(member.offset))),
        unregistered,
        unregistered_dropped: read.unregistered_dropped,
        withdrawn_unregistered: read
            .withdrawn_unregistered
            .map(|member| (member.pack, signed(member.offset))),
        ..batch
    }
}

pub(crate) fn counters(counts: LineCounts) -> Counters {
    let LineCounts { lines, billed, kept, unreadable, unregistered, purges } = counts;
    Counters { lines, billed, kept, unreadable, unregistered, purges }
}

fn cell(totals: &BucketTotals) -> Cell {
    let &BucketTotals { domain, bucket_start, flux, hit_flux, requests, hits, classes } = totals;
    let figures = Figures { flux, hit_flux, requests, hits, classes };
    Cell { domain_id: DomainId(domain.0), bucket: bucket_start / BUCKET_SECONDS, figures }
}

fn top_urls(hour: &HourPaths) -> TopUrls {
    let path = |count: &pilothouse_access_log::PathCount| PathCount {
        // Not every store keeps NUL in a text.
        path: String::from_utf8_lossy(&count.path).replace('\0', "\u{fffd}"),
        requests: count.requests,
        error: count.error,
    };
    let sketch = PathSketch { paths: hour.paths.iter().map(path).collect(), missed: hour.missed };
    TopUrls { domain_id: DomainId(hour.domain.0), hour: hour.hour_start / 3600, sketch }
}

/// Cities that a batch names, each once.
struct CityPlaces<'d> {
    database: Option<&'d CityDatabase>,
    cities: Vec<City>,
    places: HashMap<CityKey, Option<usize>>,
}

impl CityPlaces<'_> {
    /// Place of a city in `cities`; none of an unknown one, nor of one whose name cannot be stored.
    fn place(&mut self, key: CityKey) -> Option<usize> {
        let Self { database, cities, places } = self;
        *places.entry(key).or_insert_with(|| {
            cities.push(core_city((*database)?, key)?);
            Some(cities.len() - 1)
        })
    }

    fn city_cells(&mut self, totals: &[CityTotals]) -> Vec<BatchCityCell> {
        let cell = |&CityTotals { domain, bucket_start, city, flux }: &CityTotals| {
            let (domain_id, bucket) = (DomainId(domain.0), bucket_start / BUCKET_SECONDS);
            Some(BatchCityCell { domain_id, bucket, city: self.place(city)?, flux })
        };
        totals.iter().filter_map(cell).collect()
    }

    fn unregistered(&mut self, lines: &UnregisteredLines) -> BatchUnregistered {
        BatchUnregistered {
            host: lines.host.clone(),
            first: lines.first,
            last: lines.last,
            kept: KeptLines {
                domain_id: DomainId::UNSAVED,
                day: lines.day,
                offset: signed(lines.offset),
                length: signed(lines.length),
                lines: signed(lines.lines),
                raw_length: signed(lines.raw_length),
                is_open: lines.is_open,
            },
            cells: lines.traffic.iter().map(cell).collect(),
            city_cells: self.city_cells(&lines.city_traffic),
        }
    }
}

fn core_city(database: &CityDatabase, key: CityKey) -> Option<City> {
    let record = database.get(key)?;
    let geoname_id = record.geoname_id.map_or(0, i64::from);
    let city = City { geoname_id, name: record.name, name_cn: record.name_cn };
    city.check().ok().map(|()| city)
}

fn kept_lines(member: &Member) -> KeptLines {
    KeptLines {
        domain_id: DomainId(member.domain.0),
        day: member.day,
        offset: signed(member.offset),
        length: signed(member.length),
        lines: signed(member.lines),
        raw_length: signed(member.raw_length),
        is_open: member.is_open,
    }
}

pub(crate) fn file_range(chunk: &LogChunk) -> FileRange {
    let file = match &chunk.file {
        LogFile::Pack(name) => ArchiveFile::Pack(name.clone()),
        LogFile::Sealed(name) => ArchiveFile::Sealed(name.clone(), chunk.day),
    };
    let (offset, length) = (unsigned(chunk.offset), unsigned(chunk.length));
    FileRange { file, offset, length, lines: unsigned(chunk.lines) }
}

/// File as the domain knows it, without the day: the name of a sealed file is used for one day alone.
pub(crate) fn log_file(file: &ArchiveFile) -> LogFile {
    match file {
        ArchiveFile::Pack(name) => LogFile::Pack(name.clone()),
        ArchiveFile::Sealed(name, _) => LogFile::Sealed(name.clone()),
    }
}

/// Converts an offset, length or count. No log or pack has 2^63 bytes.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts an offset, length or count of the domain, which are never negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
