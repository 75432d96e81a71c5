//! What was read of access logs, into the archive and the store.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use pilothouse_access_log as log;
use pilothouse_access_log::CityKey;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_core::cdn::{
    BUCKET_SECONDS, Batch, Cell, City, CityCell, Counters, EdgeRef, Figures, KeptLines, Seen, SourceChange,
};
use pilothouse_core::ports::{Ids, RandomIds};
use pilothouse_core::{Error, Pilothouse};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::LogFolder;

/// Where the lines of an edge go.
pub(crate) struct Recorder {
    runtime: Handle,
    pilothouse: Pilothouse,
    folder: LogFolder,
    edge: EdgeRef,
    cities: Option<Arc<CityDatabase>>,
    /// What was known when the present log was begun.
    seen: Seen,
    ended: CancellationToken,
    /// Bytes of the present log that were recorded just now.
    pub(crate) new: u64,
    /// Mebibytes last shown on the terminal, if there is one.
    pub(crate) shown: Option<u64>,
}

impl Recorder {
    /// For an edge, outside of the runtime's own threads. Reading stops when `ended` is cancelled.
    pub(crate) fn new(
        pilothouse: Pilothouse,
        folder: LogFolder,
        edge: EdgeRef,
        cities: Option<Arc<CityDatabase>>,
        ended: CancellationToken,
    ) -> Self {
        let (runtime, seen) = (Handle::current(), Seen::default());
        Self { runtime, pilothouse, folder, edge, cities, seen, ended, new: 0, shown: None }
    }

    /// Takes the progress off the terminal.
    pub(crate) fn clear_progress(&mut self) {
        if self.shown.is_some_and(|mebibytes| mebibytes > 0) {
            eprint!("\r\x1b[K");
            self.shown = Some(0);
        }
    }
}

impl log::Ledger for Recorder {
    type Error = Error;

    fn sources(&mut self, keys: [log::SourceKey; 2]) -> Result<Vec<log::Known>, Error> {
        let keys = keys.map(|key| key.0);
        let known = self.runtime.block_on(self.pilothouse.traffic().sources(&self.edge, &keys))?;
        self.seen = known.seen;
        let sources = known.sources.into_iter();
        Ok(sources.map(|source| log::Known { id: source.id, state: source.state }).collect())
    }

    fn pack_name(&mut self) -> String {
        pack_name()
    }

    fn record(&mut self, batch: log::Batch) -> Result<i64, Error> {
        // First the lines, then the rows that point at them: a crash between leaves a file that maintenance deletes.
        write(&self.folder, &batch)?;
        let log::SourceChange { key, known, previous_length, length, ref state } = batch.source;
        let change = match known {
            Some(id) => SourceChange::Continued(id, signed(previous_length)),
            None => SourceChange::New(self.seen.clone()),
        };
        let empty = Batch {
            edge: self.edge.clone(),
            change,
            key: key.0,
            length: signed(length),
            state: state.clone(),
            ..Batch::default()
        };
        let filled = filled(empty, batch, self.cities.as_deref());
        let id = self.runtime.block_on(self.pilothouse.traffic().record(filled))?;
        self.new += length.saturating_sub(previous_length);
        Ok(id)
    }

    fn progress(&mut self, progress: log::Progress) -> Result<(), Error> {
        if self.ended.is_cancelled() {
            return Err(Error::Unavailable("the program ends".to_owned()));
        }
        let mebibytes = progress.bytes >> 20;
        if self.shown.is_some_and(|shown| mebibytes > shown) {
            self.shown = Some(mebibytes);
            eprint!("\r{mebibytes} MiB, {} lines", progress.lines);
            // A terminal that went away is no reason to stop.
            let _ = std::io::stderr().flush();
        }
        Ok(())
    }
}

/// A name that no pack had before.
pub(crate) fn pack_name() -> String {
    RandomIds.uuid().simple().to_string()
}

/// Writes what a batch keeps.
pub(crate) fn write(folder: &LogFolder, batch: &log::Batch) -> Result<(), Error> {
    let written = batch.pack.as_ref().map_or(Ok(()), |pack| folder.write(pack));
    written.map_err(|error| Error::Internal(format!("the archive of logs failed: {error}")))
}

/// An empty batch with the figures of one that was read, counted in the metrics too.
pub(crate) fn filled(empty: Batch, read: log::Batch, cities: Option<&CityDatabase>) -> Batch {
    let (cities, city_cells) = city_cells(&read.cities, cities);
    let (pack, members) = read.pack.map(|pack| (pack.name, pack.members)).unwrap_or_default();
    let counters = core_counters(read.counters);
    count(counters);
    Batch {
        counters,
        cells: read.cells.iter().map(cell).collect(),
        cities,
        city_cells,
        pack,
        kept: members.iter().map(kept).collect(),
        withdrawn: read.withdrawn.map(|member| (member.pack, signed(member.offset))),
        ..empty
    }
}

fn count(counters: Counters) {
    let Counters { billed, unreadable, unregistered, purges, .. } = counters;
    for (fate, lines) in
        [("billed", billed), ("unreadable", unreadable), ("unregistered", unregistered), ("purge", purges)]
    {
        // An open line that is withdrawn counts twice here: metrics are no bill.
        let lines = u64::try_from(lines).unwrap_or_default();
        metrics::counter!("pilothouse_log_lines_total", "fate" => fate).increment(lines);
    }
}

/// The cells of known cities, and these. A name that cannot be stored is of no city.
fn city_cells(cells: &[log::CityCell], cities: Option<&CityDatabase>) -> (Vec<City>, Vec<CityCell>) {
    let (mut named, mut places) = (Vec::new(), HashMap::<CityKey, Option<i64>>::new());
    let mut known = Vec::new();
    for cell in cells {
        let place = *places.entry(cell.city).or_insert_with(|| {
            let city = cities?.get(cell.city)?;
            let geoname_id = city.geoname_id.map_or(0, i64::from);
            let city = City { geoname_id, name: city.name, name_cn: city.name_cn };
            city.check().ok()?;
            named.push(city);
            i64::try_from(named.len() - 1).ok()
        });
        let bucket = cell.bucket / BUCKET_SECONDS;
        let (domain_id, flux) = (cell.domain, cell.flux);
        known.extend(place.map(|city_id| CityCell { domain_id, bucket, city_id, flux }));
    }
    (named, known)
}

fn cell(cell: &log::Cell) -> Cell {
    let &log::Cell { domain, bucket, flux, requests, hits, classes } = cell;
    let figures = Figures { flux, requests, hits, classes };
    Cell { domain_id: domain, bucket: bucket / BUCKET_SECONDS, figures }
}

fn kept(member: &log::archive::Member) -> KeptLines {
    KeptLines {
        domain_id: member.domain,
        day: member.day,
        offset: signed(member.offset),
        length: signed(member.length),
        lines: signed(member.lines),
        raw_length: signed(member.raw_length),
        is_open: member.is_open,
    }
}

pub(crate) fn core_counters(counters: log::Counters) -> Counters {
    let log::Counters { lines, billed, kept, unreadable, unregistered, purges } = counters;
    Counters { lines, billed, kept, unreadable, unregistered, purges }
}

/// No log or pack has 2^63 bytes.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
