//! Line aggregator: sums traffic per domain and bucket and collects the lines to be kept.

mod city_cache;
mod day_cache;
mod host_cache;
mod spread;
mod unregistered;
mod verdict;

use chrono::NaiveDate;
use rustc_hash::FxHashMap;

use crate::parse::{LineParser, ParsedLine};
use crate::totals::BUCKET_LENGTH;
use crate::url_counts::UrlCounts;
use crate::{BucketTotals, CityKey, CityTotals, DomainNumber, Format, HourPaths, LineCounts, Rules};
use city_cache::CityCache;
use day_cache::DayCache;
use host_cache::HostCache;
use spread::Spread;
pub(crate) use unregistered::UnregisteredDay;
use unregistered::{UnregisteredHosts, UnregisteredLine};
pub(crate) use verdict::LineVerdict;

/// Kept lines of one domain and day, uncompressed.
#[derive(Debug)]
pub(crate) struct DayLines {
    pub(crate) domain: DomainNumber,
    pub(crate) day: NaiveDate,
    pub(crate) lines: u64,
    pub(crate) raw: Vec<u8>,
}

/// Sums and kept lines since the last [`Aggregator::take`].
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    pub(crate) counts: LineCounts,
    /// Earliest time of a line, counted or withdrawn, in unix seconds.
    pub(crate) first_time: Option<i64>,
    /// Time of the last line that has one, in unix seconds.
    pub(crate) last_time: Option<i64>,
    pub(crate) traffic: Vec<BucketTotals>,
    pub(crate) city_traffic: Vec<CityTotals>,
    pub(crate) top_paths: Vec<HourPaths>,
    pub(crate) kept: Vec<DayLines>,
    pub(crate) unregistered: Vec<UnregisteredDay>,
    /// Lines of unregistered hosts that were not kept aside, because there were too many hosts.
    pub(crate) unregistered_dropped: i64,
}

/// Bucket and day that the last line of a domain was added to: the next line mostly belongs there too.
#[derive(Debug, Clone, Copy)]
struct Recent {
    bucket_start: i64,
    /// Index into [`Aggregator::traffic`].
    totals: usize,
    day: NaiveDate,
    /// Index into [`Aggregator::kept`].
    kept: usize,
    /// Bytes kept of one day in the last batch: about as many as the next batch will have.
    expected: usize,
}

const NOWHERE: Recent = Recent { bucket_start: -1, totals: 0, day: NaiveDate::MIN, kept: 0, expected: 0 };

/// Line with the domain it belongs to.
struct Judged<'l> {
    line: ParsedLine<'l>,
    /// Slot of the domain in the [`crate::DomainIndex`].
    slot: Option<usize>,
    verdict: LineVerdict,
}

/// Aggregator of the lines of one log.
#[derive(Debug)]
pub(crate) struct Aggregator<'a> {
    rules: Rules<'a>,
    parser: LineParser,
    days: DayCache,
    city_cache: Option<CityCache<'a>>,
    default_slot: Option<usize>,
    hosts: HostCache,
    /// Time of the last billed line and begin of its bucket: the next line mostly has the same.
    recent_bucket: (i64, i64),
    /// Bucket and day of each domain's last line, by slot.
    recent: Vec<Recent>,
    counts: LineCounts,
    /// The greatest number before there is one.
    first_time: i64,
    last_time: Option<i64>,
    traffic: Vec<BucketTotals>,
    /// Index into `traffic` by slot and begin of the bucket.
    traffic_index: FxHashMap<(usize, i64), usize>,
    /// Bytes by index into `traffic` and city.
    city_bytes: FxHashMap<(usize, CityKey), i64>,
    /// Requests by path; none where nobody asks for them.
    urls: Option<UrlCounts>,
    kept: Vec<DayLines>,
    /// Index into `kept` by slot and day.
    kept_index: FxHashMap<(usize, NaiveDate), usize>,
    unregistered: UnregisteredHosts,
}

#[expect(clippy::inline_always, reason = "run for each line, a call costs as much as what it does")]
impl<'a> Aggregator<'a> {
    pub(crate) fn new(rules: &Rules<'a>) -> Self {
        Self {
            rules: *rules,
            parser: LineParser::new(rules.format),
            days: DayCache::new(rules.timezone),
            city_cache: rules.cities.map(CityCache::new),
            default_slot: rules.default_domain.and_then(|name| rules.domains.slot(name.as_bytes())),
            hosts: HostCache::new(),
            recent_bucket: (0, 0),
            recent: vec![NOWHERE; rules.domains.numbers().len()],
            counts: LineCounts::default(),
            first_time: i64::MAX,
            last_time: None,
            traffic: Vec::new(),
            traffic_index: FxHashMap::default(),
            city_bytes: FxHashMap::default(),
            urls: Some(UrlCounts::new(rules.domains.numbers().len())),
            kept: Vec::new(),
            kept_index: FxHashMap::default(),
            unregistered: UnregisteredHosts::new(rules.keeps_unregistered, rules.stamp),
        }
    }

    /// Counts no requests by path.
    pub(crate) fn without_urls(self) -> Self {
        Self { urls: None, ..self }
    }

    /// Counts a line and does not keep it.
    #[inline]
    pub(crate) fn count(&mut self, line: &[u8]) {
        let judged = self.judge(line);
        self.tally(&judged, 1);
    }

    /// Counts a line and keeps it. `line` includes its line end.
    pub(crate) fn add(&mut self, line: &[u8]) {
        let judged = self.judge(line);
        self.tally(&judged, 1);
        if let (true, Some(slot), Some(time)) = (judged.verdict.is_kept(), judged.slot, judged.line.time) {
            let index = self.kept_index(slot, time);
            let kept = &mut self.kept[index];
            kept.raw.extend_from_slice(line);
            kept.lines += 1;
        } else if judged.verdict == LineVerdict::Unregistered && self.unregistered.is_enabled() {
            self.keep_aside(&judged, line, false);
        }
    }

    /// Counts an unterminated line that may still grow. It is kept apart from the others, so that it can be withdrawn.
    pub(crate) fn add_open(&mut self, line: &[u8]) -> LineVerdict {
        let judged = self.judge(line);
        self.tally(&judged, 1);
        if let LineVerdict::Billed(domain) | LineVerdict::Incomplete(domain) | LineVerdict::Purge(domain) =
            judged.verdict
            && let Some(time) = judged.line.time
        {
            let raw = [line, b"\n"].concat();
            self.kept.push(DayLines { domain, day: self.days.day_of(time), lines: 1, raw });
        } else if judged.verdict == LineVerdict::Unregistered && self.unregistered.is_enabled() {
            self.keep_aside(&judged, &[line, b"\n"].concat(), true);
        }
        judged.verdict
    }

    /// Takes back what [`Self::add_open`] counted. If the line would be judged otherwise today (its domain was registered or
    /// removed meanwhile) the record stays as it is, since what exactly was recorded is not known.
    pub(crate) fn withdraw(&mut self, line: &[u8], counted: LineVerdict) -> bool {
        let judged = self.judge(line);
        let is_same = judged.verdict == counted;
        if is_same {
            self.tally(&judged, -1);
        }
        is_same
    }

    /// Hands out the sums and starts at zero again.
    pub(crate) fn take(&mut self) -> Aggregates {
        for recent in &mut self.recent {
            let last = if recent.day == NaiveDate::MIN { 0 } else { self.kept[recent.kept].raw.len() };
            *recent = Recent { expected: last + last / 8, ..NOWHERE };
        }
        self.traffic_index.clear();
        self.kept_index.clear();
        let traffic = std::mem::take(&mut self.traffic);
        let mut city_traffic = Vec::with_capacity(self.city_bytes.len());
        for ((index, city), flux) in self.city_bytes.drain() {
            let BucketTotals { domain, bucket_start, .. } = traffic[index];
            city_traffic.push(CityTotals { domain, bucket_start, city, flux });
        }
        city_traffic.sort_unstable_by_key(|totals| (totals.domain, totals.bucket_start, totals.city));
        let counts = std::mem::take(&mut self.counts);
        let first_time = std::mem::replace(&mut self.first_time, i64::MAX);
        let last_time = self.last_time.take();
        let domains = self.rules.domains.numbers();
        let top_paths = self.urls.as_mut().map(|urls| urls.take(domains)).unwrap_or_default();
        let kept = std::mem::take(&mut self.kept);
        let (unregistered, unregistered_dropped) = self.unregistered.take();
        Aggregates {
            counts,
            first_time: (first_time != i64::MAX).then_some(first_time),
            last_time,
            traffic,
            city_traffic,
            top_paths,
            kept,
            unregistered,
            unregistered_dropped,
        }
    }

    /// Keeps a line of an unregistered host aside, as it would have been counted and kept.
    #[cold]
    fn keep_aside(&mut self, judged: &Judged<'_>, text: &[u8], is_open: bool) {
        let parsed = &judged.line;
        let Some(time) = parsed.time else { return };
        let city = self.city_cache.as_mut();
        let city = city.map(|cache| parsed.address.map_or(CityKey::UNKNOWN, |address| cache.city(address)));
        let line = UnregisteredLine { parsed, text, time, day: self.days.day_of(time), city };
        if is_open {
            self.unregistered.add_open(&line);
        } else {
            self.unregistered.add(&line, self.rules.domains);
        }
    }

    #[inline(always)]
    fn judge<'l>(&mut self, line: &'l [u8]) -> Judged<'l> {
        let line = self.parser.parse(line);
        let slot = match line.host {
            Some(host) => self.hosts.slot(self.rules.domains, host),
            None => self.default_slot,
        };
        let slot = match (slot, line.time) {
            (Some(slot), Some(time)) => self.rules.domains.slot_at(slot, time),
            _ => slot,
        };
        self.first_time = line.time.map_or(self.first_time, |time| time.min(self.first_time));
        let host_is_readable = line.host.is_some() || self.rules.format == Format::Combined;
        let verdict = match slot {
            _ if !host_is_readable || line.time.is_none() => LineVerdict::Unreadable,
            None => LineVerdict::Unregistered,
            Some(slot) => {
                let domain = self.rules.domains.numbers()[slot];
                if line.is_purge() {
                    LineVerdict::Purge(domain)
                } else if line.is_complete() {
                    LineVerdict::Billed(domain)
                } else {
                    LineVerdict::Incomplete(domain)
                }
            }
        };
        Judged { line, slot, verdict }
    }

    /// Adds the line `sign` times: once, or minus once to withdraw it.
    #[inline(always)]
    fn tally(&mut self, judged: &Judged<'_>, sign: i64) {
        self.counts.lines += sign;
        if sign > 0 && judged.line.time.is_some() {
            self.last_time = judged.line.time;
        }
        match judged.verdict {
            LineVerdict::Unreadable if self.rules.format == Format::Verbatim => {}
            LineVerdict::Unreadable => self.counts.unreadable += sign,
            LineVerdict::Unregistered => self.counts.unregistered += sign,
            LineVerdict::Purge(_) => {
                self.counts.purges += sign;
                self.counts.kept += sign;
            }
            LineVerdict::Incomplete(_) => {
                self.counts.unreadable += sign;
                self.counts.kept += sign;
            }
            LineVerdict::Billed(_) => {
                self.counts.billed += sign;
                self.counts.kept += sign;
                self.bill(judged, sign);
            }
        }
    }

    #[inline(always)]
    fn bill(&mut self, judged: &Judged<'_>, sign: i64) {
        let Judged { line, slot, .. } = judged;
        let (Some(slot), Some(time), Some(status), Some(bytes)) = (*slot, line.time, line.status, line.bytes)
        else {
            return;
        };
        if self.recent_bucket.0 != time {
            self.recent_bucket = (time, time - time.rem_euclid(BUCKET_LENGTH));
        }
        let bucket_start = self.recent_bucket.1;
        let spread = Spread::of(line, time, bucket_start, bytes, self.rules.stamp);
        let index = self.traffic_index(slot, bucket_start);
        let totals = &mut self.traffic[index];
        totals.count_request(status, line.hit, sign);
        if let Some(urls) = &mut self.urls
            && let Some(path) = line.path()
        {
            urls.count(slot, time, path, sign);
        }
        let city = self.city_cache.as_mut();
        let city = city.map(|cache| line.address.map_or(CityKey::UNKNOWN, |address| cache.city(address)));
        match spread {
            None => self.add_flux(index, city, bytes.cast_signed() * sign, line.hit),
            Some(spread) => {
                for (bucket_start, bytes) in spread.buckets() {
                    let index = self.traffic_index(slot, bucket_start);
                    self.add_flux(index, city, bytes.cast_signed() * sign, line.hit);
                }
            }
        }
    }

    #[inline]
    fn add_flux(&mut self, index: usize, city: Option<CityKey>, flux: i64, hit: bool) {
        self.traffic[index].add_flux(flux, hit);
        if let Some(city) = city {
            let sum = self.city_bytes.entry((index, city)).or_default();
            *sum = sum.saturating_add(flux);
        }
    }

    /// Index of a bucket in `traffic`, where it is added if it is new.
    #[inline]
    fn traffic_index(&mut self, slot: usize, bucket_start: i64) -> usize {
        let recent = &mut self.recent[slot];
        if recent.bucket_start != bucket_start {
            recent.bucket_start = bucket_start;
            recent.totals = *self.traffic_index.entry((slot, bucket_start)).or_insert_with(|| {
                let domain = self.rules.domains.numbers()[slot];
                self.traffic.push(BucketTotals { domain, bucket_start, ..BucketTotals::default() });
                self.traffic.len() - 1
            });
        }
        recent.totals
    }

    /// Index of a day in `kept`, where it is added if it is new.
    #[inline]
    fn kept_index(&mut self, slot: usize, time: i64) -> usize {
        let day = self.days.day_of(time);
        let recent = &mut self.recent[slot];
        if recent.day != day {
            recent.day = day;
            recent.kept = *self.kept_index.entry((slot, day)).or_insert_with(|| {
                let domain = self.rules.domains.numbers()[slot];
                let raw = Vec::with_capacity(recent.expected);
                self.kept.push(DayLines { domain, day, lines: 0, raw });
                self.kept.len() - 1
            });
        }
        recent.kept
    }
}
