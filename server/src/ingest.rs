//! `pilothouse ingest`: access logs into the statistics.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use pilothouse_access_log as log;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{CityKey, Domains, Format, Found, IngestError, Input, Rules};
use pilothouse_core::cdn::{
    BUCKET_SECONDS, Batch, Cell, City, CityCell, Counters, EdgeRef, Figures, KeptLines, Seen, SourceChange,
};
use pilothouse_core::ports::{Ids, RandomIds};
use pilothouse_core::{Error, Pilothouse};
use tokio::runtime::Handle;

use crate::archive::LogFolder;
use crate::command::print;
use crate::failure::Failure;

/// How often a log is begun again that somebody else reads at the same time.
const ATTEMPTS: usize = 3;

/// Which logs, and of what.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Ingest {
    /// The logs, gzipped or not; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The cdn the edge belongs to
    #[arg(long, value_name = "NAME")]
    pub(crate) cdn: String,
    /// The edge that wrote them
    #[arg(long, value_name = "NAME")]
    pub(crate) edge: String,
    /// combined, vhost_combined, tsv or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Whose lines they are, where the format names no host
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
}

/// What became of some logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What their new lines were.
    pub(crate) counters: Counters,
    /// Bytes that were read before and not counted again, before compression.
    pub(crate) known: u64,
}

/// Takes logs in one after the other and says of each what became of it. What was recorded before a failure stays, and
/// the same command goes on there.
pub(crate) async fn ingest(
    pilothouse: Pilothouse,
    folder: LogFolder,
    cities: Option<CityDatabase>,
    options: Ingest,
) -> Result<Report, Failure> {
    let (edge, domains) = pilothouse.traffic().edge(&options.cdn, &options.edge).await?;
    let domains = Domains::new(domains.iter().map(|domain| (&domain.name, domain.id)));
    let runtime = Handle::current();
    let work = move || {
        let recorder = Recorder {
            runtime,
            pilothouse,
            folder,
            edge,
            cities: cities.as_ref(),
            seen: Seen::default(),
            new: 0,
            shown: 0,
            terminal: std::io::stderr().is_terminal(),
        };
        ingest_all(recorder, &domains, &options)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::failed("reading logs", error))?
}

fn ingest_all(mut recorder: Recorder<'_>, domains: &Domains, options: &Ingest) -> Result<Report, Failure> {
    let rules = Rules {
        format: options.format,
        domains,
        default_domain: options.domain.as_deref(),
        cities: recorder.cities.map(|cities| cities as &dyn log::Cities),
        timezone: recorder.pilothouse.settings().timezone,
    };
    let mut total = Report::default();
    for file in &options.files {
        let report = ingest_one(&mut recorder, &rules, file)?;
        print(&format!("{}: {report}", file.display()))?;
        total.counters.add(report.counters);
        total.known += report.known;
    }
    if options.files.len() > 1 {
        print(&format!("all: {total}"))?;
    }
    Ok(total)
}

fn ingest_one(recorder: &mut Recorder<'_>, rules: &Rules<'_>, file: &Path) -> Result<Report, Failure> {
    let is_stream = file == Path::new("-");
    let mut counters = Counters::default();
    for attempt in 1.. {
        let input = if is_stream { Ok(Input::stream("-", std::io::stdin())) } else { Input::open(file) };
        let input = input.map_err(|error| Failure::failed(file.display(), error))?;
        recorder.new = 0;
        let done = log::ingest(input, rules, &log::Options::default(), recorder);
        recorder.clear_progress();
        match done {
            Ok(done) => {
                counters.add(core_counters(done.counters));
                let known = match done.found {
                    Found::New => 0,
                    Found::Copy => done.bytes,
                    Found::Continued => done.bytes.saturating_sub(done.unfinished + recorder.new),
                };
                return Ok(Report { counters, known });
            }
            Err(IngestError::Ledger(Error::Conflict(_))) if !is_stream && attempt < ATTEMPTS => {}
            Err(IngestError::Rules(error)) => return Err(Failure::usage(format!("--domain: {error}"))),
            Err(error) => return Err(Failure::failed(file.display(), error)),
        }
    }
    Ok(Report::default())
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = self.counters;
        write!(
            f,
            "lines {lines}, billed {billed}, kept {kept}, unreadable {unreadable}, unregistered {unregistered}, \
             purges {purges}, known bytes {}",
            self.known
        )
    }
}

/// Puts batches into the archive and the store.
struct Recorder<'a> {
    runtime: Handle,
    pilothouse: Pilothouse,
    folder: LogFolder,
    edge: EdgeRef,
    cities: Option<&'a CityDatabase>,
    /// What was known when the present log was begun.
    seen: Seen,
    /// Bytes of the present log that were recorded just now.
    new: u64,
    /// Mebibytes last shown.
    shown: u64,
    terminal: bool,
}

impl Recorder<'_> {
    fn batch(&self, batch: log::Batch) -> Batch {
        let log::SourceChange { key, known, previous_length, length, state } = batch.source;
        let change = match known {
            Some(id) => SourceChange::Continued(id, signed(previous_length)),
            None => SourceChange::New(self.seen.clone()),
        };
        let (cities, city_cells) = self.city_cells(&batch.cities);
        let (pack, members) = batch.pack.map(|pack| (pack.name, pack.members)).unwrap_or_default();
        Batch {
            edge: self.edge.clone(),
            change,
            key: key.0,
            length: signed(length),
            state,
            counters: core_counters(batch.counters),
            cells: batch.cells.iter().map(cell).collect(),
            cities,
            city_cells,
            pack,
            kept: members.iter().map(kept).collect(),
            withdrawn: batch.withdrawn.map(|member| (member.pack, signed(member.offset))),
        }
    }

    /// The cells of known cities, and these. A name that cannot be stored is of no city.
    fn city_cells(&self, cells: &[log::CityCell]) -> (Vec<City>, Vec<CityCell>) {
        let (mut cities, mut places) = (Vec::new(), HashMap::<CityKey, Option<i64>>::new());
        let mut known = Vec::new();
        for cell in cells {
            let place = *places.entry(cell.city).or_insert_with(|| {
                let city = self.cities?.get(cell.city)?;
                let geoname_id = city.geoname_id.map_or(0, i64::from);
                let city = City { geoname_id, name: city.name, name_cn: city.name_cn };
                city.check().ok()?;
                cities.push(city);
                i64::try_from(cities.len() - 1).ok()
            });
            let bucket = cell.bucket / BUCKET_SECONDS;
            let (domain_id, flux) = (cell.domain, cell.flux);
            known.extend(place.map(|city_id| CityCell { domain_id, bucket, city_id, flux }));
        }
        (cities, known)
    }

    fn clear_progress(&mut self) {
        if self.shown > 0 {
            eprint!("\r\x1b[K");
            self.shown = 0;
        }
    }
}

impl log::Ledger for Recorder<'_> {
    type Error = Error;

    fn sources(&mut self, keys: [log::SourceKey; 2]) -> Result<Vec<log::Known>, Error> {
        let keys = keys.map(|key| key.0);
        let known = self.runtime.block_on(self.pilothouse.traffic().sources(&self.edge, &keys))?;
        self.seen = known.seen;
        let sources = known.sources.into_iter();
        Ok(sources.map(|source| log::Known { id: source.id, state: source.state }).collect())
    }

    fn pack_name(&mut self) -> String {
        RandomIds.uuid().simple().to_string()
    }

    fn record(&mut self, batch: log::Batch) -> Result<i64, Error> {
        // First the lines, then the rows that point at them: a crash between leaves a file that maintenance deletes.
        if let Some(pack) = &batch.pack {
            let written = self.folder.write(pack);
            written.map_err(|error| Error::Internal(format!("the archive of logs failed: {error}")))?;
        }
        let new = batch.source.length.saturating_sub(batch.source.previous_length);
        let id = self.runtime.block_on(self.pilothouse.traffic().record(self.batch(batch)))?;
        self.new += new;
        Ok(id)
    }

    fn progress(&mut self, progress: log::Progress) -> Result<(), Error> {
        let mebibytes = progress.bytes >> 20;
        if self.terminal && mebibytes > self.shown {
            self.shown = mebibytes;
            eprint!("\r{mebibytes} MiB, {} lines", progress.lines);
            // A terminal that went away is no reason to stop.
            let _ = std::io::stderr().flush();
        }
        Ok(())
    }
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
    }
}

fn core_counters(counters: log::Counters) -> Counters {
    let log::Counters { lines, billed, kept, unreadable, unregistered, purges } = counters;
    Counters { lines, billed, kept, unreadable, unregistered, purges }
}

/// No log or pack has 2^63 bytes.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
