//! In-memory ledger, sample lines and rules.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use flate2::read::MultiGzDecoder;
use pilothouse_access_log::archive::{Member, Pack};
use pilothouse_access_log::{
    CheckpointId, CheckpointUpdate, CityKey, DomainIndex, DomainNumber, Fingerprint, Format, IngestError,
    IngestOptions, IngestReport, Input, Ledger, LineCounts, LogBatch, Progress, Rules, Stamp,
    StoredCheckpoint, ingest,
};

pub(crate) const A: DomainNumber = DomainNumber(7);
pub(crate) const B: DomainNumber = DomainNumber(8);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) flux: i64,
    pub(crate) hit_flux: i64,
    pub(crate) requests: i64,
    pub(crate) hits: i64,
    pub(crate) classes: [i64; 4],
}

/// Ledger that records as a database would: everything of a batch or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryLedger {
    pub(crate) traffic: BTreeMap<(DomainNumber, i64), Traffic>,
    pub(crate) cities: BTreeMap<(DomainNumber, i64, CityKey), i64>,
    pub(crate) counts: LineCounts,
    pub(crate) checkpoints: Vec<CheckpointUpdate>,
    pub(crate) packs: HashMap<String, Pack>,
    pub(crate) members: Vec<(String, Member)>,
    pub(crate) batches: usize,
    pub(crate) positions: Vec<Progress>,
    /// Pack names given out.
    pub(crate) names: usize,
    /// Number of batches after which it refuses every other.
    pub(crate) refuses_after: Option<usize>,
}

fn checkpoint_id(index: usize) -> CheckpointId {
    CheckpointId(i64::try_from(index).unwrap())
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

impl Ledger for MemoryLedger {
    type Error = Refused;

    fn checkpoints(&mut self, fingerprints: [Fingerprint; 2]) -> Result<Vec<StoredCheckpoint>, Refused> {
        let rows = self.checkpoints.iter().enumerate();
        let rows = rows.filter(|(_, row)| fingerprints.contains(&row.fingerprint));
        Ok(rows
            .map(|(id, row)| StoredCheckpoint { id: checkpoint_id(id), state: row.state.clone() })
            .collect())
    }

    fn pack_name(&mut self) -> String {
        self.names += 1;
        format!("pack-{}", self.names)
    }

    fn record(&mut self, batch: LogBatch) -> Result<CheckpointId, Refused> {
        if self.refuses_after == Some(self.batches) {
            return Err(Refused);
        }
        self.batches += 1;
        self.counts += batch.counts;
        for cell in &batch.traffic {
            let sum = self.traffic.entry((cell.domain, cell.bucket_start)).or_default();
            sum.flux += cell.flux;
            sum.hit_flux += cell.hit_flux;
            sum.requests += cell.requests;
            sum.hits += cell.hits;
            for (sum, class) in sum.classes.iter_mut().zip(cell.classes) {
                *sum += class;
            }
        }
        self.traffic.retain(|_, sum| *sum != Traffic::default());
        for cell in &batch.city_traffic {
            *self.cities.entry((cell.domain, cell.bucket_start, cell.city)).or_default() += cell.flux;
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
        let row = batch.checkpoint;
        assert!(row.state.len() <= 36 << 10);
        Ok(match row.replaces {
            None => {
                assert_eq!(row.previous_length, 0);
                self.checkpoints.push(row);
                checkpoint_id(self.checkpoints.len() - 1)
            }
            Some(id) => {
                let old = &mut self.checkpoints[usize::try_from(id.0).unwrap()];
                assert_eq!(row.previous_length, old.length);
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

impl MemoryLedger {
    pub(crate) fn flux(&self, domain: DomainNumber) -> i64 {
        self.traffic.iter().filter(|(key, _)| key.0 == domain).map(|(_, sum)| sum.flux).sum()
    }

    /// Kept lines of a domain and day, as a download would have them.
    pub(crate) fn kept(&self, domain: DomainNumber, day: NaiveDate) -> Vec<u8> {
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

    pub(crate) fn days(&self, domain: DomainNumber) -> Vec<NaiveDate> {
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

    /// Everything that must be equal however the same lines came in.
    pub(crate) fn result(&self) -> impl PartialEq + std::fmt::Debug {
        let kept = [A, B].into_iter().flat_map(|id| self.days(id).into_iter().map(move |day| (id, day)));
        (self.traffic.clone(), self.counts, kept.map(|(id, day)| self.kept(id, day)).collect::<Vec<_>>())
    }
}

pub(crate) fn domains() -> DomainIndex {
    DomainIndex::new([("a.example.com", A), ("b.example.com", B)])
}

pub(crate) fn rules(format: Format, domains: &DomainIndex) -> Rules<'_> {
    let default_domain = (format == Format::Combined).then_some("a.example.com");
    Rules {
        format,
        domains,
        default_domain,
        cities: None,
        keeps_unregistered: None,
        timezone: chrono_tz::Asia::Shanghai,
        stamp: Stamp::End,
    }
}

pub(crate) fn small() -> IngestOptions {
    batches_of(1000)
}

/// Options with batches of so many bytes.
pub(crate) fn batches_of(batch_bytes: usize) -> IngestOptions {
    let mut options = IngestOptions::default();
    options.batch_bytes = batch_bytes;
    options
}

/// Reads `content` as a stream.
pub(crate) fn read(memory: &mut MemoryLedger, format: Format, content: &[u8]) -> IngestReport {
    try_read(memory, format, content, &IngestOptions::default()).unwrap()
}

pub(crate) fn try_read(
    memory: &mut MemoryLedger,
    format: Format,
    content: &[u8],
    options: &IngestOptions,
) -> Result<IngestReport, IngestError<Refused>> {
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

/// Line of the format tsv; its bytes make it different from others.
pub(crate) fn line(host: &str, time: i64, bytes: u64) -> String {
    format!("{time}.037\t{host}\t200\t{bytes}\t127.0.0.1\tHIT\t0.000\tGET\t/b/{bytes}\n")
}

/// Log of `count` lines of a.example.com from 2026-11-20 on, one a second.
pub(crate) fn log(count: u64) -> Vec<u8> {
    (0..count)
        .flat_map(|n| line("a.example.com", 1_795_190_000 + n.cast_signed(), 1000 + n).into_bytes())
        .collect()
}

/// Number that the environment sets.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Xorshift generator: the same numbers everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Small seeds would begin with small numbers, and zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
