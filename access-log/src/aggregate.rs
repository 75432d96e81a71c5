//! Adding lines up.

mod address;
mod day;

use chrono::NaiveDate;
use chrono_tz::Tz;
use rustc_hash::FxHashMap;

use crate::parse::{Line, Parser};
use crate::{Cities, CityKey, Domains, Format};
use address::KnownCities;
use day::Days;

/// The number its owner knows a domain by.
pub type DomainId = i64;

/// Length of a bucket in seconds.
const BUCKET: i64 = 300;

/// What lines are read and counted by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How the lines are laid out.
    pub format: Format,
    /// The registered domains; lines of other hosts are only counted.
    pub domains: &'a Domains,
    /// Whose the lines of [`Format::Combined`] are, by a name among `domains`. The other formats name their hosts.
    pub default_domain: Option<&'a str>,
    /// Where addresses are; without it there are no city cells.
    pub cities: Option<&'a dyn Cities>,
    /// The zone days begin in.
    pub timezone: Tz,
}

/// Traffic of one domain in one bucket. A change to what was recorded, so it may be negative: when a last line without
/// line end grew, what was counted of it is withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    /// Whose traffic.
    pub domain: DomainId,
    /// Begin of the 5 minutes, unix seconds; a multiple of 300.
    pub bucket: i64,
    /// Bytes sent.
    pub flux: i64,
    /// Billed requests.
    pub requests: i64,
    /// Of these, answered from the cache.
    pub hits: i64,
    /// Answers by class: 2xx, 3xx, 4xx, 5xx. Others (101, 999) are in none, so the sum may be below `requests`.
    pub classes: [i64; 4],
}

/// Bytes one domain sent to one city in one bucket. The cities of a bucket add up to its [`Cell::flux`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CityCell {
    /// Whose traffic.
    pub domain: DomainId,
    /// Begin of the 5 minutes, unix seconds; a multiple of 300.
    pub bucket: i64,
    /// Where to.
    pub city: CityKey,
    /// Bytes sent; may be negative as in [`Cell`].
    pub flux: i64,
}

/// What became of lines. Every line is exactly one of billed, unreadable, unregistered and purge. May be negative as in [`Cell`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// All lines.
    pub lines: i64,
    /// Lines whose bytes and request are in the cells.
    pub billed: i64,
    /// Lines kept for download: host and time could be read and the host is registered. Billed or not.
    pub kept: i64,
    /// Lines of which host, time, request, status or bytes could not be read.
    pub unreadable: i64,
    /// Lines of hosts that are not registered.
    pub unregistered: i64,
    /// Purge requests of registered hosts.
    pub purges: i64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.billed += other.billed;
        self.kept += other.kept;
        self.unreadable += other.unreadable;
        self.unregistered += other.unregistered;
        self.purges += other.purges;
    }
}

/// What a line was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Host or time could not be read.
    Unreadable,
    Unregistered,
    /// Kept, not billed: an order to the cache.
    Purge(DomainId),
    /// Kept, not billed: request, status or bytes could not be read.
    Broken(DomainId),
    Billed(DomainId),
}

impl Verdict {
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Purge(_) | Self::Broken(_) | Self::Billed(_))
    }

    pub(crate) fn encode(self) -> [u8; 9] {
        let (kind, domain) = match self {
            Self::Unreadable => (0, 0),
            Self::Unregistered => (1, 0),
            Self::Purge(domain) => (2, domain),
            Self::Broken(domain) => (3, domain),
            Self::Billed(domain) => (4, domain),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&domain.to_le_bytes());
        bytes
    }

    pub(crate) fn decode([kind, domain @ ..]: [u8; 9]) -> Option<Self> {
        let domain = DomainId::from_le_bytes(domain);
        Some(match kind {
            0 => Self::Unreadable,
            1 => Self::Unregistered,
            2 => Self::Purge(domain),
            3 => Self::Broken(domain),
            4 => Self::Billed(domain),
            _ => return None,
        })
    }
}

/// The kept lines of one domain and day.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) domain: DomainId,
    pub(crate) day: NaiveDate,
    pub(crate) lines: u64,
    pub(crate) raw: Vec<u8>,
}

/// Everything since the last [`Aggregator::take`].
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) counters: Counters,
    pub(crate) cells: Vec<Cell>,
    pub(crate) cities: Vec<CityCell>,
    pub(crate) kept: Vec<Kept>,
}

/// Places for remembered hosts, a power of two.
const HOST_PLACES: usize = 256;

/// Hosts of one customer differ at the beginning, those of different ones at the end, so both choose the place.
#[inline]
fn place_of(host: &[u8]) -> usize {
    let mixed = match (host.first_chunk::<8>(), host.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(32),
        _ => host.iter().fold(host.len() as u64, |mixed, &byte| mixed << 8 ^ u64::from(byte)),
    };
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % HOST_PLACES
}

/// Where the last line of a domain went: the next one mostly goes there too.
#[derive(Debug, Clone, Copy)]
struct Recent {
    bucket: i64,
    cell: usize,
    day: NaiveDate,
    kept: usize,
    /// Bytes kept of one day in the last batch: about what the next one will have.
    expected: usize,
}

const NOWHERE: Recent = Recent { bucket: -1, cell: 0, day: NaiveDate::MIN, kept: 0, expected: 0 };

#[derive(Debug)]
pub(crate) struct Aggregator<'a> {
    rules: Rules<'a>,
    parser: Parser,
    days: Days,
    known_cities: Option<KnownCities<'a>>,
    default_slot: Option<usize>,
    /// The last host at each place, as written, and its domain.
    hosts: Box<[(Vec<u8>, Option<usize>)]>,
    recent: Vec<Recent>,
    counters: Counters,
    cells: Vec<Cell>,
    cell_index: FxHashMap<(usize, i64), usize>,
    cities: FxHashMap<(usize, CityKey), i64>,
    kept: Vec<Kept>,
    kept_index: FxHashMap<(usize, NaiveDate), usize>,
}

impl<'a> Aggregator<'a> {
    pub(crate) fn new(rules: &Rules<'a>) -> Self {
        Self {
            rules: *rules,
            parser: Parser::new(rules.format),
            days: Days::new(rules.timezone),
            known_cities: rules.cities.map(KnownCities::new),
            default_slot: rules.default_domain.and_then(|name| rules.domains.slot(name.as_bytes())),
            hosts: vec![(Vec::new(), None); HOST_PLACES].into(),
            recent: vec![NOWHERE; rules.domains.ids().len()],
            counters: Counters::default(),
            cells: Vec::new(),
            cell_index: FxHashMap::default(),
            cities: FxHashMap::default(),
            kept: Vec::new(),
            kept_index: FxHashMap::default(),
        }
    }

    /// Counts a line and does not keep it.
    #[inline]
    pub(crate) fn count(&mut self, line: &[u8]) {
        let (read, slot, verdict) = self.judge(line);
        self.tally(&read, slot, verdict, 1);
    }

    /// Counts a line and keeps it. `line` has its line end.
    pub(crate) fn add(&mut self, line: &[u8]) -> Verdict {
        let (read, slot, verdict) = self.judge(line);
        self.tally(&read, slot, verdict, 1);
        if let (Verdict::Billed(_) | Verdict::Broken(_) | Verdict::Purge(_), Some(slot), Some(time)) =
            (verdict, slot, read.time)
        {
            let index = self.kept_for(slot, time);
            let kept = &mut self.kept[index];
            kept.raw.extend_from_slice(line);
            kept.lines += 1;
        }
        verdict
    }

    /// Counts a line without line end that may yet grow. It is kept apart from the others, so that it can be withdrawn.
    pub(crate) fn add_open(&mut self, line: &[u8]) -> Verdict {
        let (read, slot, verdict) = self.judge(line);
        self.tally(&read, slot, verdict, 1);
        if let (Verdict::Billed(domain) | Verdict::Broken(domain) | Verdict::Purge(domain), Some(time)) =
            (verdict, read.time)
        {
            let raw = [line, b"\n"].concat();
            self.kept.push(Kept { domain, day: self.days.of(time), lines: 1, raw });
        }
        verdict
    }

    /// Takes back what [`Self::add_open`] counted. If the line would be judged otherwise today (its domain was registered or
    /// removed meanwhile) the record stays as it is, since what exactly was recorded is not known.
    pub(crate) fn withdraw(&mut self, line: &[u8], counted: Verdict) -> bool {
        let (read, slot, verdict) = self.judge(line);
        let same = verdict == counted;
        if same {
            self.tally(&read, slot, verdict, -1);
        }
        same
    }

    pub(crate) fn take(&mut self) -> Sums {
        for recent in &mut self.recent {
            let last = if recent.day == NaiveDate::MIN { 0 } else { self.kept[recent.kept].raw.len() };
            *recent = Recent { expected: last + last / 8, ..NOWHERE };
        }
        self.cell_index.clear();
        self.kept_index.clear();
        let cells = std::mem::take(&mut self.cells);
        let mut cities: Vec<_> = self
            .cities
            .drain()
            .map(|((cell, city), flux)| CityCell {
                domain: cells[cell].domain,
                bucket: cells[cell].bucket,
                city,
                flux,
            })
            .collect();
        cities.sort_unstable_by_key(|cell| (cell.domain, cell.bucket, cell.city));
        Sums {
            counters: std::mem::take(&mut self.counters),
            cells,
            cities,
            kept: std::mem::take(&mut self.kept),
        }
    }

    #[inline]
    fn judge<'l>(&mut self, line: &'l [u8]) -> (Line<'l>, Option<usize>, Verdict) {
        let read = self.parser.parse(line);
        let slot = match read.host {
            Some(host) => self.slot(host),
            None => self.default_slot,
        };
        let host_is_readable = read.host.is_some() || self.rules.format == Format::Combined;
        let verdict = match slot {
            _ if !host_is_readable || read.time.is_none() => Verdict::Unreadable,
            None => Verdict::Unregistered,
            Some(slot) => {
                let domain = self.rules.domains.ids()[slot];
                if read.is_purge() {
                    Verdict::Purge(domain)
                } else if read.is_complete() {
                    Verdict::Billed(domain)
                } else {
                    Verdict::Broken(domain)
                }
            }
        };
        (read, slot, verdict)
    }

    #[inline]
    fn slot(&mut self, host: &[u8]) -> Option<usize> {
        let place = &mut self.hosts[place_of(host)];
        if place.0 != host {
            place.1 = self.rules.domains.slot(host);
            place.0.clear();
            place.0.extend_from_slice(host);
        }
        place.1
    }

    #[inline]
    fn tally(&mut self, line: &Line<'_>, slot: Option<usize>, verdict: Verdict, sign: i64) {
        self.counters.lines += sign;
        match verdict {
            Verdict::Unreadable => self.counters.unreadable += sign,
            Verdict::Unregistered => self.counters.unregistered += sign,
            Verdict::Purge(_) => {
                self.counters.purges += sign;
                self.counters.kept += sign;
            }
            Verdict::Broken(_) => {
                self.counters.unreadable += sign;
                self.counters.kept += sign;
            }
            Verdict::Billed(_) => {
                self.counters.billed += sign;
                self.counters.kept += sign;
                if let (Some(slot), Some(time), Some(status), Some(bytes)) =
                    (slot, line.time, line.status, line.bytes)
                {
                    self.bill(slot, time, status, bytes.cast_signed() * sign, line, sign);
                }
            }
        }
    }

    #[inline]
    fn bill(&mut self, slot: usize, time: i64, status: u16, flux: i64, line: &Line<'_>, sign: i64) {
        let index = self.cell_for(slot, time - time.rem_euclid(BUCKET));
        let cell = &mut self.cells[index];
        // A billion lines of the greatest size would overflow: absurd, but it must not stop anybody's log.
        cell.flux = cell.flux.saturating_add(flux);
        cell.requests += sign;
        cell.hits += i64::from(line.hit) * sign;
        if let Some(class) = cell.classes.get_mut(usize::from(status / 100).wrapping_sub(2)) {
            *class += sign;
        }
        if let Some(known) = &mut self.known_cities {
            let city = line.address.map_or(CityKey::UNKNOWN, |address| known.city(address));
            let sum = self.cities.entry((index, city)).or_default();
            *sum = sum.saturating_add(flux);
        }
    }

    #[inline]
    fn cell_for(&mut self, slot: usize, bucket: i64) -> usize {
        let recent = &mut self.recent[slot];
        if recent.bucket != bucket {
            recent.bucket = bucket;
            recent.cell = *self.cell_index.entry((slot, bucket)).or_insert_with(|| {
                self.cells.push(Cell { domain: self.rules.domains.ids()[slot], bucket, ..Cell::default() });
                self.cells.len() - 1
            });
        }
        recent.cell
    }

    #[inline]
    fn kept_for(&mut self, slot: usize, time: i64) -> usize {
        let day = self.days.of(time);
        let recent = &mut self.recent[slot];
        if recent.day != day {
            recent.day = day;
            recent.kept = *self.kept_index.entry((slot, day)).or_insert_with(|| {
                self.kept.push(Kept {
                    domain: self.rules.domains.ids()[slot],
                    day,
                    lines: 0,
                    raw: Vec::with_capacity(recent.expected),
                });
                self.kept.len() - 1
            });
        }
        recent.kept
    }
}
