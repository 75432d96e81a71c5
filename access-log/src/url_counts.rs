//! Requests by URL: the most requested paths of each domain and hour, counted in bounded memory with a known error.
//!
//! A path is the URL without its query, at most [`MAX_PATH`] bytes of it. The first paths of a domain and hour are counted
//! exactly. Beyond [`EXACT_PATHS`] a new path is first counted in a cell that it shares with others, and has its own count once
//! the cell was hit twice: that count may be too high, by at most its error, and never too low.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::DomainNumber;

/// Longest path that is told apart from others, in bytes: those that begin alike are one.
pub const MAX_PATH: usize = 256;
/// The most paths of a domain and hour that a batch holds.
pub const MAX_PATHS: usize = 200;
/// Paths of a domain and hour that are counted exactly in a batch.
const EXACT_PATHS: usize = 1024;
/// Paths of all domains and hours of a batch that are counted exactly.
const EXACT_TOTAL: usize = 1 << 16;
/// Shared cells for paths that were not seen twice.
const CELLS: usize = 1 << 16;
/// Length of an hour in seconds.
const HOUR: i64 = 3600;

/// Requests of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCount {
    /// Path as it was requested, without the query.
    pub path: Vec<u8>,
    /// Billed requests, at most `error` too many. May be negative, as where an unterminated last line is withdrawn.
    pub requests: i64,
    /// Greatest number by which `requests` may be too high.
    pub error: i64,
}

/// The most requested paths of one domain in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourPaths {
    /// Domain that the requests were for.
    pub domain: DomainNumber,
    /// Begin of the hour in unix seconds, a multiple of 3600.
    pub hour_start: i64,
    /// Paths, the most requested first; at most [`MAX_PATHS`], and those with negative counts.
    pub paths: Vec<PathCount>,
    /// The most requests that a path may have which is not among them.
    pub missed: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    requests: i64,
    error: i64,
}

#[derive(Debug, Default)]
struct Hour {
    paths: FxHashMap<Box<[u8]>, Count>,
    missed: i64,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    hour_start: i64,
    /// Index into [`UrlCounts::hours`].
    index: usize,
}

/// No time is in this hour.
const NOWHERE: Recent = Recent { hour_start: i64::MAX - HOUR, index: 0 };

/// Counts of a batch.
#[derive(Debug)]
pub(crate) struct UrlCounts {
    /// By slot and begin of the hour.
    hours: Vec<((usize, i64), Hour)>,
    index: FxHashMap<(usize, i64), usize>,
    /// Hour of each slot's last line: the next mostly belongs there too.
    recent: Vec<Recent>,
    /// Paths in all hours together.
    total: usize,
    /// Made when they are first needed.
    cells: Vec<u32>,
}

impl UrlCounts {
    /// Starts at zero, for so many slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            hours: Vec::new(),
            index: FxHashMap::default(),
            recent: vec![NOWHERE; slots],
            total: 0,
            cells: Vec::new(),
        }
    }

    /// Counts a request `sign` times: once, or minus once to withdraw it. `slot` is the place of its domain.
    #[inline]
    pub(crate) fn count(&mut self, slot: usize, time: i64, path: &[u8], sign: i64) {
        let path = &path[..path.len().min(MAX_PATH)];
        let recent = self.recent[slot];
        let is_recent = (recent.hour_start..recent.hour_start + HOUR).contains(&time);
        let index = if is_recent { recent.index } else { self.hour(slot, time) };
        if let Some(count) = self.hours[index].1.paths.get_mut(path) {
            count.requests += sign;
        } else {
            self.count_new(index, path, sign);
        }
    }

    /// Index of the hour of a time, where it is added if it is new.
    fn hour(&mut self, slot: usize, time: i64) -> usize {
        let hour_start = time - time.rem_euclid(HOUR);
        let index = *self.index.entry((slot, hour_start)).or_insert_with(|| {
            self.hours.push(((slot, hour_start), Hour::default()));
            self.hours.len() - 1
        });
        self.recent[slot] = Recent { hour_start, index };
        index
    }

    /// Counts a request of a path that has no count of its own.
    fn count_new(&mut self, index: usize, path: &[u8], sign: i64) {
        let hour = &mut self.hours[index].1;
        let is_exact = hour.paths.len() < EXACT_PATHS && self.total < EXACT_TOTAL;
        if is_exact || sign < 0 {
            self.total += 1;
            hour.paths.insert(path.into(), Count { requests: sign, error: 0 });
            return;
        }
        if self.cells.is_empty() {
            self.cells.resize(CELLS, 0);
        }
        let hash = FxBuildHasher.hash_one((index, path));
        let cell = &mut self.cells[(hash >> 32) as usize % CELLS];
        *cell = cell.saturating_add(1);
        let requests = i64::from(*cell);
        let has_room = hour.paths.len() < 2 * EXACT_PATHS && self.total < 2 * EXACT_TOTAL;
        if requests > 1 && has_room {
            self.total += 1;
            hour.paths.insert(path.into(), Count { requests, error: requests - 1 });
        } else {
            hour.missed = hour.missed.max(requests);
        }
    }

    /// Hands out the counts and starts at zero again. `domains` has the domain of each slot.
    pub(crate) fn take(&mut self, domains: &[DomainNumber]) -> Vec<HourPaths> {
        self.index.clear();
        self.recent.fill(NOWHERE);
        self.total = 0;
        self.cells.clear();
        let hours = self.hours.drain(..).filter_map(|((slot, hour_start), counts)| {
            let (paths, missed) = counts.most_requested();
            let domain = *domains.get(slot)?;
            (!paths.is_empty()).then_some(HourPaths { domain, hour_start, paths, missed })
        });
        hours.collect()
    }
}

impl Hour {
    /// The paths that are told, and the most requests of one that is not.
    fn most_requested(self) -> (Vec<PathCount>, i64) {
        let own = |(path, count): (Box<[u8]>, Count)| PathCount {
            path: path.into_vec(),
            requests: count.requests,
            error: count.error,
        };
        let mut paths: Vec<_> =
            self.paths.into_iter().filter(|(_, count)| count.requests != 0).map(own).collect();
        let order = |one: &PathCount, other: &PathCount| {
            other.requests.cmp(&one.requests).then_with(|| one.path.cmp(&other.path))
        };
        let mut missed = self.missed;
        paths.sort_unstable_by(order);
        if paths.len() > MAX_PATHS {
            let rest = paths.split_off(MAX_PATHS);
            missed = missed.max(rest.first().map_or(0, |first| first.requests));
            paths.extend(rest.into_iter().filter(|path| path.requests < 0));
        }
        (paths, missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAINS: [DomainNumber; 2] = [DomainNumber(7), DomainNumber(8)];

    fn path(path: &str, requests: i64, error: i64) -> PathCount {
        PathCount { path: path.as_bytes().to_vec(), requests, error }
    }

    #[test]
    fn few_paths_are_counted_exactly_by_domain_and_hour() {
        let mut counts = UrlCounts::new(DOMAINS.len());
        for (slot, time, path) in [
            (0, 7200, "/a"),
            (0, 10_799, "/a"),
            (1, 7200, "/a"),
            (0, 10_800, "/a"),
            (0, 7201, "/b"),
            (0, 7201, ""),
        ] {
            counts.count(slot, time, path.as_bytes(), 1);
        }
        let hour = |domain, hour_start, paths| HourPaths { domain, hour_start, paths, missed: 0 };
        let expected = [
            hour(DOMAINS[0], 7200, vec![path("/a", 2, 0), path("", 1, 0), path("/b", 1, 0)]),
            hour(DOMAINS[1], 7200, vec![path("/a", 1, 0)]),
            hour(DOMAINS[0], 10_800, vec![path("/a", 1, 0)]),
        ];
        assert_eq!(counts.take(&DOMAINS), expected);
        assert!(counts.take(&DOMAINS).is_empty());
        counts.count(0, 7200, b"/withdrawn", -1);
        assert_eq!(counts.take(&DOMAINS)[0].paths, [path("/withdrawn", -1, 0)]);
        let long = "x".repeat(MAX_PATH);
        counts.count(0, 0, format!("{long}1").as_bytes(), 1);
        counts.count(0, 0, format!("{long}2").as_bytes(), 1);
        assert_eq!(counts.take(&DOMAINS)[0].paths, [path(&long, 2, 0)]);
    }

    #[test]
    fn many_paths_are_counted_within_their_error() {
        let mut counts = UrlCounts::new(DOMAINS.len());
        let mut exact = std::collections::HashMap::<String, i64>::new();
        let mut number = 1_u64;
        for n in 0..200_000_u64 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A tenth of the requests is for some fifty paths, that begin after the table of exact ones is full.
            let uri = if n > 5_000 && number >> 40 & 1 == 0 {
                format!("/hot/{}", (number >> 41) % 50)
            } else {
                format!("/cold/{number}")
            };
            counts.count(0, 0, uri.as_bytes(), 1);
            *exact.entry(uri).or_default() += 1;
        }
        let [hour] = <[HourPaths; 1]>::try_from(counts.take(&DOMAINS)).unwrap();
        assert_eq!(hour.paths.len(), MAX_PATHS);
        for PathCount { path, requests, error } in &hour.paths {
            let true_count = exact.remove(std::str::from_utf8(path).unwrap()).unwrap();
            assert!((requests - error..=*requests).contains(&true_count), "{true_count} {requests} {error}");
        }
        let most_missed = exact.values().max().copied().unwrap_or_default();
        assert!(most_missed <= hour.missed, "{most_missed} of a path that is missing: {}", hour.missed);
        assert!(hour.paths[..50].iter().all(|path| path.path.starts_with(b"/hot/")), "{:?}", hour.paths);
    }
}
