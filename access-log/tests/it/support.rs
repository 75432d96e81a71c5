//! A ledger in memory and short cuts.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use flate2::read::MultiGzDecoder;
use pilothouse_access_log::archive::{Member, Pack};
use pilothouse_access_log::{
    Batch, CityKey, Counters, Domains, Format, IngestError, Input, Known, Ledger, Options, Progress, Report,
    Rules, SourceKey, ingest,
};

pub(crate) const A: i64 = 7;
pub(crate) const B: i64 = 8;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) flux: i64,
    pub(crate) requests: i64,
    pub(crate) hits: i64,
    pub(crate) classes: [i64; 4],
}

/// Records as a database would: everything of a batch or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) traffic: BTreeMap<(i64, i64), Traffic>,
    pub(crate) cities: BTreeMap<(i64, i64, CityKey), i64>,
    pub(crate) counters: Counters,
    pub(crate) sources: Vec<(SourceKey, u64, Vec<u8>)>,
    pub(crate) packs: HashMap<String, Pack>,
    pub(crate) members: Vec<(String, Member)>,
    pub(crate) batches: usize,
    pub(crate) positions: Vec<Progress>,
    pub(crate) names: usize,
    /// Refuses when this many batches are recorded.
    pub(crate) refuses_after: Option<usize>,
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

impl Ledger for Memory {
    type Error = Refused;

    fn sources(&mut self, keys: [SourceKey; 2]) -> Result<Vec<Known>, Refused> {
        let rows = self.sources.iter().enumerate().filter(|(_, (key, ..))| keys.contains(key));
        Ok(rows
            .map(|(id, (_, _, state))| Known { id: i64::try_from(id).unwrap(), state: state.clone() })
            .collect())
    }

    fn pack_name(&mut self) -> String {
        self.names += 1;
        format!("pack-{}", self.names)
    }

    fn record(&mut self, batch: Batch) -> Result<i64, Refused> {
        if self.refuses_after == Some(self.batches) {
            return Err(Refused);
        }
        self.batches += 1;
        self.counters += batch.counters;
        for cell in &batch.cells {
            let sum = self.traffic.entry((cell.domain, cell.bucket)).or_default();
            sum.flux += cell.flux;
            sum.requests += cell.requests;
            sum.hits += cell.hits;
            for (sum, class) in sum.classes.iter_mut().zip(cell.classes) {
                *sum += class;
            }
        }
        self.traffic.retain(|_, sum| *sum != Traffic::default());
        for cell in &batch.cities {
            *self.cities.entry((cell.domain, cell.bucket, cell.city)).or_default() += cell.flux;
        }
        self.cities.retain(|_, flux| *flux != 0);
        if let Some(gone) = &batch.withdrawn {
            let before = self.members.len();
            self.members.retain(|(pack, member)| (pack, member.offset) != (&gone.pack, gone.offset));
            assert_eq!(self.members.len(), before - 1, "what is withdrawn was recorded");
        }
        if let Some(pack) = batch.pack {
            self.members.extend(pack.members.iter().map(|member| (pack.name.clone(), *member)));
            assert!(self.packs.insert(pack.name.clone(), pack).is_none());
        }
        let row = (batch.source.key, batch.source.length, batch.source.state);
        assert!(row.2.len() <= 32 << 10);
        Ok(match batch.source.known {
            None => {
                assert_eq!(batch.source.previous_length, 0);
                self.sources.push(row);
                i64::try_from(self.sources.len() - 1).unwrap()
            }
            Some(id) => {
                let old = &mut self.sources[usize::try_from(id).unwrap()];
                assert_eq!(batch.source.previous_length, old.1);
                *old = row;
                id
            }
        })
    }

    fn progress(&mut self, progress: Progress) -> Result<(), Refused> {
        self.positions.push(progress);
        Ok(())
    }
}

impl Memory {
    pub(crate) fn flux(&self, domain: i64) -> i64 {
        self.traffic.iter().filter(|(key, _)| key.0 == domain).map(|(_, sum)| sum.flux).sum()
    }

    /// The kept lines of a domain and day, as a download would have them.
    pub(crate) fn kept(&self, domain: i64, day: NaiveDate) -> Vec<u8> {
        let mut gzip = Vec::new();
        for (pack, member) in
            self.members.iter().filter(|(_, member)| (member.domain, member.day) == (domain, day))
        {
            let from = usize::try_from(member.offset).unwrap();
            let to = from + usize::try_from(member.length).unwrap();
            gzip.extend_from_slice(&self.packs[pack].data[from..to]);
        }
        gunzip(&gzip)
    }

    pub(crate) fn days(&self, domain: i64) -> Vec<NaiveDate> {
        let mut days: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.domain == domain)
            .map(|(_, member)| member.day)
            .collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    /// What must be equal however the same lines came in.
    pub(crate) fn result(&self) -> impl PartialEq + std::fmt::Debug {
        let kept = [A, B].into_iter().flat_map(|id| self.days(id).into_iter().map(move |day| (id, day)));
        (self.traffic.clone(), self.counters, kept.map(|(id, day)| self.kept(id, day)).collect::<Vec<_>>())
    }
}

pub(crate) fn domains() -> Domains {
    Domains::new([("a.example.com", A), ("b.example.com", B)])
}

pub(crate) fn rules(format: Format, domains: &Domains) -> Rules<'_> {
    let default_domain = (format == Format::Combined).then_some("a.example.com");
    Rules { format, domains, default_domain, cities: None, timezone: chrono_tz::Asia::Shanghai }
}

pub(crate) fn small() -> Options {
    Options { batch_bytes: 1000, ..Options::default() }
}

/// Reads `content` as a stream.
pub(crate) fn read(memory: &mut Memory, format: Format, content: &[u8]) -> Report {
    try_read(memory, format, content, &Options::default()).unwrap()
}

pub(crate) fn try_read(
    memory: &mut Memory,
    format: Format,
    content: &[u8],
    options: &Options,
) -> Result<Report, IngestError<Refused>> {
    let input = Input::stream("log", Cursor::new(content.to_vec()));
    ingest(input, &rules(format, &domains()), options, memory)
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A line of the format tsv; its bytes make it different from others.
pub(crate) fn line(host: &str, time: i64, bytes: u64) -> String {
    format!("{time}.037\t{host}\t200\t{bytes}\t127.0.0.1\tHIT\t0.000\tGET\t/b/{bytes}\n")
}

/// `count` lines of a.example.com from 2026-11-20 on, one a second.
pub(crate) fn log(count: u64) -> Vec<u8> {
    (0..count)
        .flat_map(|n| line("a.example.com", 1_795_190_000 + n.cast_signed(), 1000 + n).into_bytes())
        .collect()
}
