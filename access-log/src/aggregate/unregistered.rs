//! Lines of unregistered hosts, kept aside by host and day with the figures that they would have had.

use chrono::NaiveDate;
use rustc_hash::FxHashMap;

use super::spread::Spread;
use crate::domain_index::{DomainIndex, MAX_NAME, normalised};
use crate::parse::ParsedLine;
use crate::totals::BUCKET_LENGTH;
use crate::{BucketTotals, CityKey, Stamp};

/// Hosts of one batch of which lines are kept aside, beside listed ones; those of further ones are counted as dropped.
const MAX_HOSTS: usize = 1000;

/// Lines of one unregistered host and day, uncompressed.
#[derive(Debug)]
pub(crate) struct UnregisteredDay {
    pub(crate) host: String,
    pub(crate) day: NaiveDate,
    pub(crate) lines: u64,
    pub(crate) raw: Vec<u8>,
    /// Time of the earliest line in unix seconds.
    pub(crate) first: i64,
    /// Time of the latest line in unix seconds.
    pub(crate) last: i64,
    pub(crate) traffic: Vec<BucketTotals>,
    /// Bytes by begin of the bucket and city.
    pub(crate) city_bytes: FxHashMap<(i64, CityKey), i64>,
    /// Whether it is one unterminated line, which is withdrawn if it grows.
    pub(crate) is_open: bool,
}

/// Line of an unregistered host whose time could be read.
pub(super) struct UnregisteredLine<'l> {
    pub(super) parsed: &'l ParsedLine<'l>,
    /// Text as it is kept, with its line end.
    pub(super) text: &'l [u8],
    /// In unix seconds.
    pub(super) time: i64,
    pub(super) day: NaiveDate,
    /// None without a city look-up.
    pub(super) city: Option<CityKey>,
}

/// Collector of the lines of unregistered hosts since the last batch.
#[derive(Debug)]
pub(super) struct UnregisteredHosts {
    /// Whether lines of a host are kept aside, by its normalised name; nothing is kept aside without it.
    keeps: Option<fn(&str) -> bool>,
    stamp: Stamp,
    days: Vec<UnregisteredDay>,
    /// Days of a host, as indexes into `days`.
    hosts: FxHashMap<Box<[u8]>, Vec<usize>>,
    dropped: i64,
}

impl UnregisteredHosts {
    pub(super) fn new(keeps: Option<fn(&str) -> bool>, stamp: Stamp) -> Self {
        Self { keeps, stamp, days: Vec::new(), hosts: FxHashMap::default(), dropped: 0 }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.keeps.is_some()
    }

    /// Keeps a line aside.
    pub(super) fn add(&mut self, line: &UnregisteredLine<'_>, domains: &DomainIndex) {
        let Some(host) = line.parsed.host else { return };
        let mut buffer = [0; MAX_NAME];
        let Some(name) = normalised(host, &mut buffer) else { return };
        if let Some(index) = self.index(name, line.day, domains) {
            self.days[index].add(line, self.stamp);
        }
    }

    /// Keeps an unterminated line aside, apart from all others.
    pub(super) fn add_open(&mut self, line: &UnregisteredLine<'_>) {
        let Some(host) = line.parsed.host else { return };
        let mut buffer = [0; MAX_NAME];
        let Some(name) = normalised(host, &mut buffer) else { return };
        let Some(name) = self.kept_name(name) else { return };
        let mut day = UnregisteredDay::new(name, line.day);
        day.add(line, self.stamp);
        day.is_open = true;
        self.days.push(day);
    }

    /// Hands out what was kept aside, with the number of lines dropped, and starts again. An open line is the last.
    pub(super) fn take(&mut self) -> (Vec<UnregisteredDay>, i64) {
        self.hosts.clear();
        (std::mem::take(&mut self.days), std::mem::take(&mut self.dropped))
    }

    /// Index of a host's day in `days`, where it is added if it is new; none if its lines are not kept aside.
    fn index(&mut self, name: &[u8], day: NaiveDate, domains: &DomainIndex) -> Option<usize> {
        if let Some(indexes) = self.hosts.get_mut(name) {
            // The last day is nearly always the one.
            if let Some(&index) = indexes.iter().rev().find(|index| self.days[**index].day == day) {
                return Some(index);
            }
            let host = self.days[*indexes.first()?].host.clone();
            indexes.push(self.days.len());
            self.days.push(UnregisteredDay::new(host, day));
            return Some(self.days.len() - 1);
        }
        let host = self.kept_name(name)?;
        if self.hosts.len() >= MAX_HOSTS && !domains.is_listed(name) {
            self.dropped += 1;
            return None;
        }
        self.hosts.insert(name.into(), vec![self.days.len()]);
        self.days.push(UnregisteredDay::new(host, day));
        Some(self.days.len() - 1)
    }

    fn kept_name(&self, name: &[u8]) -> Option<String> {
        let name = str::from_utf8(name).ok()?;
        self.keeps?(name).then(|| name.to_owned())
    }
}

impl UnregisteredDay {
    fn new(host: String, day: NaiveDate) -> Self {
        Self {
            host,
            day,
            lines: 0,
            raw: Vec::new(),
            first: i64::MAX,
            last: i64::MIN,
            traffic: Vec::new(),
            city_bytes: FxHashMap::default(),
            is_open: false,
        }
    }

    fn add(&mut self, line: &UnregisteredLine<'_>, stamp: Stamp) {
        self.lines += 1;
        self.raw.extend_from_slice(line.text);
        self.first = self.first.min(line.time);
        self.last = self.last.max(line.time);
        if !line.parsed.is_purge() && line.parsed.is_complete() {
            self.bill(line, stamp);
        }
    }

    fn bill(&mut self, line: &UnregisteredLine<'_>, stamp: Stamp) {
        let &UnregisteredLine { parsed, time, city, .. } = line;
        let (Some(status), Some(bytes)) = (parsed.status, parsed.bytes) else { return };
        let bucket_start = time - time.rem_euclid(BUCKET_LENGTH);
        self.totals(bucket_start).count_request(status, parsed.hit, 1);
        match Spread::of(parsed, time, bucket_start, bytes, stamp) {
            None => self.add_flux(bucket_start, city, bytes.cast_signed(), parsed.hit),
            Some(spread) => {
                for (bucket_start, bytes) in spread.buckets() {
                    self.add_flux(bucket_start, city, bytes.cast_signed(), parsed.hit);
                }
            }
        }
    }

    fn totals(&mut self, bucket_start: i64) -> &mut BucketTotals {
        let found = self.traffic.iter().rposition(|totals| totals.bucket_start == bucket_start);
        let index = found.unwrap_or_else(|| {
            self.traffic.push(BucketTotals { bucket_start, ..BucketTotals::default() });
            self.traffic.len() - 1
        });
        &mut self.traffic[index]
    }

    fn add_flux(&mut self, bucket_start: i64, city: Option<CityKey>, flux: i64, hit: bool) {
        self.totals(bucket_start).add_flux(flux, hit);
        if let Some(city) = city {
            let sum = self.city_bytes.entry((bucket_start, city)).or_default();
            *sum = sum.saturating_add(flux);
        }
    }
}
