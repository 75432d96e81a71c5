//! Top URLs: the most requested paths of a domain by hour, as mergeable sketches of bounded size with a known error.
//!
//! A batch of a log adds a piece for each of its domains and hours; pieces of one hour are merged into one from time to time.
//! A piece names up to [`MAX_PATHS`] paths, each with a count that is at most its error too high and never too low, and says
//! how many requests a path may have that it does not name. Merged, a path that a piece lacks counts as so many there.
//! Pieces of an ingested log stay apart while it can be forgotten, so that it takes them along exactly.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::bucket::{BUCKET_SECONDS, Day, day_of};
use super::log_source::LogSourceId;
use super::series::{Traffic, TrafficQuery};
use crate::account::Caller;
use crate::cdn::identifier::DomainId;
use crate::ports::{StorageError, StorageResult};
use crate::{Error, Result};

/// The most paths of a piece, and of an answer.
pub const MAX_PATHS: usize = 200;
/// Longest path in bytes.
const MAX_PATH: usize = 256;
/// The longest range of a query in days.
const MAX_DAYS: i64 = 31;
/// The most domains of a query.
const MAX_DOMAINS: usize = 30;
/// Hours of a domain that one read brings.
const HOURS_AT_ONCE: i64 = 24;
/// Length of an hour in seconds.
const HOUR_SECONDS: i64 = 3600;
/// The first second of the year 10000, in hours: later ones are no time of a log.
const END_OF_TIME: Hour = 253_402_300_800 / HOUR_SECONDS;

/// The number of an hour: unix seconds by 3600, rounded down.
pub type Hour = i64;

/// Requests of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathCount {
    /// Path of the URL without its query; at most 256 bytes of it, what is no UTF-8 replaced.
    pub path: String,
    /// Requests, at most `error` too many.
    pub requests: i64,
    /// Greatest number by which `requests` may be too high.
    pub error: i64,
}

/// Sketch of the most requested paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSketch {
    /// Paths, the most requested first. In a batch, a count may be negative: it is taken back.
    pub paths: Vec<PathCount>,
    /// The most requests that a path may have which is not named.
    pub missed: i64,
}

/// Sketch of a domain in an hour, as a batch of a log adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUrls {
    /// Domain that the requests were for.
    pub domain_id: DomainId,
    /// Hour of the requests.
    pub hour: Hour,
    /// Paths of that hour.
    pub sketch: PathSketch,
}

/// Piece of a domain's hour in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUrlsPiece {
    /// Domain that the requests were for.
    pub domain_id: DomainId,
    /// Hour of the requests.
    pub hour: Hour,
    /// Ingested log that it came from, as long as that can be forgotten; [`LogSourceId::UNSAVED`] of all others.
    pub source_id: LogSourceId,
    /// The day its retention counts from: its own, or the one it was last written on where that is later.
    pub kept_from: Day,
    /// Encoded sketch, opaque to the store.
    pub data: Vec<u8>,
}

/// Key of the pieces that may be merged into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopUrlsKey {
    /// Domain of the pieces.
    pub domain_id: DomainId,
    /// Hour of the pieces.
    pub hour: Hour,
    /// Log that they came from, as in [`TopUrlsPiece`].
    pub source_id: LogSourceId,
}

/// Top URLs in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait TopUrlsRepository: Send {
    /// Adds pieces.
    async fn insert(&mut self, pieces: &[TopUrlsPiece]) -> StorageResult<()>;
    /// The pieces of a domain in some hours, by hour and then in the order in which they were added.
    async fn of_hours(
        &mut self,
        domain_id: DomainId,
        hours: RangeInclusive<Hour>,
    ) -> StorageResult<Vec<TopUrlsPiece>>;
    /// Keys that at least `pieces` pieces have, at most `count` of them, in order.
    async fn crowded(&mut self, pieces: i64, count: i64) -> StorageResult<Vec<TopUrlsKey>>;
    /// Removes the pieces of a key and returns them in the order in which they were added.
    async fn take(&mut self, key: TopUrlsKey) -> StorageResult<Vec<TopUrlsPiece>>;
    /// Makes the pieces of logs that have no undo records any more pieces of no log; how many.
    async fn settle(&mut self) -> StorageResult<u64>;
    /// Removes the pieces of a log; how many.
    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64>;
    /// Removes the first `count` pieces, in the order in which they were added, that are kept from before a day; how many.
    async fn prune(&mut self, before: Day, count: i64) -> StorageResult<u64>;
}

/// Encoded form of a sketch: what it may have missed, and path, requests and error of each path.
type EncodedSketch = (i64, Vec<(String, i64, i64)>);

/// Counts of paths while pieces are merged.
#[derive(Debug, Default)]
struct MergedCount {
    requests: i64,
    error: i64,
    /// Sum of what the pieces so far that name it may have missed of others.
    missed: i64,
}

/// Merger of sketches.
#[derive(Debug, Default)]
pub(super) struct SketchMerger {
    paths: HashMap<String, MergedCount>,
    missed: i64,
}

impl SketchMerger {
    /// Paths beyond which those with the fewest requests are dropped.
    const MOST: usize = 20 * MAX_PATHS;

    pub(super) fn add(&mut self, sketch: PathSketch) {
        for PathCount { path, requests, error } in sketch.paths {
            // A path that is taken back was counted by an earlier piece, or is part of what was missed there.
            if requests < 0 && !self.paths.contains_key(&path) {
                continue;
            }
            let count = self.paths.entry(path).or_default();
            count.requests += requests;
            count.error += error;
            count.missed += sketch.missed;
        }
        self.missed += sketch.missed;
        if self.paths.len() > Self::MOST {
            let kept = std::mem::take(self).finish(Self::MOST / 2);
            self.missed = kept.missed;
            let count = |PathCount { path, requests, error }| {
                (path, MergedCount { requests, error, missed: kept.missed })
            };
            self.paths = kept.paths.into_iter().map(count).collect();
        }
    }

    /// The `most` most requested paths.
    pub(super) fn finish(self, most: usize) -> PathSketch {
        let total = self.missed;
        let own = |(path, count): (String, MergedCount)| {
            let missed = total - count.missed;
            PathCount { path, requests: count.requests + missed, error: count.error + missed }
        };
        let mut paths: Vec<_> = self.paths.into_iter().map(own).filter(|path| path.requests > 0).collect();
        paths.sort_unstable_by(|one, other| {
            other.requests.cmp(&one.requests).then_with(|| one.path.cmp(&other.path))
        });
        let missed = paths.get(most).map_or(0, |first| first.requests).max(total);
        paths.truncate(most);
        PathSketch { paths, missed }
    }
}

impl PathSketch {
    /// Encodes it for a store.
    pub(super) fn encode(&self) -> Vec<u8> {
        let paths: Vec<_> = self.paths.iter().map(|path| (&*path.path, path.requests, path.error)).collect();
        // Numbers and text are always JSON.
        serde_json::to_vec(&(self.missed, paths)).unwrap_or_default()
    }

    /// Decodes what a store holds.
    pub(super) fn decode(data: &[u8]) -> StorageResult<Self> {
        let decoded = serde_json::from_slice::<EncodedSketch>(data);
        let (missed, paths) = decoded.map_err(|_| StorageError::Corrupt { what: "sketch of URLs" })?;
        let path = |(path, requests, error)| PathCount { path, requests, error };
        Ok(Self { paths: paths.into_iter().map(path).collect(), missed })
    }
}

impl TopUrls {
    /// Piece of it for a store, of a log that may be forgotten or of none.
    pub(super) fn piece(&self, source_id: LogSourceId, now: DateTime<Utc>) -> TopUrlsPiece {
        let &Self { domain_id, hour, ref sketch } = self;
        let day = |seconds: i64| day_of(seconds / BUCKET_SECONDS);
        let kept_from = day(hour * HOUR_SECONDS).max(day(now.timestamp()));
        TopUrlsPiece { domain_id, hour, source_id, kept_from, data: sketch.encode() }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(0..END_OF_TIME).contains(&self.hour) {
            return Err(Error::invalid("hour", "must be of the years 1970 to 9999"));
        }
        let PathSketch { paths, missed } = &self.sketch;
        // Those that are taken back come on top.
        if paths.len() > 2 * MAX_PATHS || paths.iter().any(|path| path.path.len() > 3 * MAX_PATH) {
            let limit = format!("must name at most {MAX_PATHS} paths of at most {MAX_PATH} bytes");
            return Err(Error::invalid("top_urls", limit));
        }
        if *missed < 0 || paths.iter().any(|path| path.error < 0) {
            return Err(Error::invalid("top_urls", "must have no negative errors"));
        }
        Ok(())
    }
}

/// A path of a domain among the most requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUrl {
    /// Name of the domain; on several cdns it is one.
    pub domain: String,
    /// Requests of the path.
    pub count: PathCount,
}

/// The most requested paths of some domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUrlsAnswer {
    /// Paths, the most requested first.
    pub urls: Vec<TopUrl>,
    /// The most requests that a path may have which is not named.
    pub missed: i64,
}

impl Traffic<'_> {
    /// The `count` (1 to 200) most requested paths of some domains of a customer in the hours (UTC) that hold both times
    /// and those between them: at most 31 days and 30 domains.
    pub async fn top_urls(
        &self,
        caller: &Caller,
        query: &TrafficQuery,
        count: usize,
    ) -> Result<TopUrlsAnswer> {
        if !(1..=MAX_PATHS).contains(&count) {
            return Err(Error::invalid("count", format!("must be from 1 to {MAX_PATHS}")));
        }
        let mut snapshot = self.0.storage().read().await?;
        let (domains, _) = self.asked(&mut *snapshot, caller, query, MAX_DAYS).await?;
        let mut ids: HashMap<String, Vec<DomainId>> = HashMap::new();
        for domain in domains {
            ids.entry(domain.name).or_default().push(domain.id);
        }
        if ids.len() > MAX_DOMAINS {
            return Err(Error::invalid("domain", format!("must be at most {MAX_DOMAINS} domains")));
        }
        let (first, last) = (query.start_time / HOUR_SECONDS, query.end_time / HOUR_SECONDS);
        let (mut urls, mut missed) = (Vec::new(), 0);
        for (domain, ids) in ids {
            let mut merger = SketchMerger::default();
            for id in ids {
                let mut hour = first;
                while hour <= last {
                    let end = last.min(hour + HOURS_AT_ONCE - 1);
                    for piece in snapshot.top_urls().of_hours(id, hour..=end).await? {
                        merger.add(PathSketch::decode(&piece.data)?);
                    }
                    hour = end + 1;
                }
            }
            let sketch = merger.finish(count);
            missed = missed.max(sketch.missed);
            let url = |count| TopUrl { domain: domain.clone(), count };
            urls.extend(sketch.paths.into_iter().map(url));
        }
        urls.sort_unstable_by(|one, other| {
            let place = |url: &TopUrl| (url.count.requests, url.domain.clone(), url.count.path.clone());
            let ((a, domain, path), (b, other_domain, other_path)) = (place(one), place(other));
            b.cmp(&a).then(domain.cmp(&other_domain)).then(path.cmp(&other_path))
        });
        missed = missed.max(urls.get(count).map_or(0, |url| url.count.requests));
        urls.truncate(count);
        Ok(TopUrlsAnswer { urls, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(paths: &[(&str, i64, i64)], missed: i64) -> PathSketch {
        let path = |&(path, requests, error): &(&str, i64, i64)| PathCount {
            path: path.to_owned(),
            requests,
            error,
        };
        PathSketch { paths: paths.iter().map(path).collect(), missed }
    }

    fn merged(sketches: &[PathSketch], most: usize) -> PathSketch {
        let mut merger = SketchMerger::default();
        for sketch in sketches {
            merger.add(sketch.clone());
        }
        merger.finish(most)
    }

    #[test]
    fn a_path_that_a_piece_lacks_counts_as_what_it_may_have_missed() {
        let pieces = [sketch(&[("/a", 10, 0), ("/b", 5, 2)], 4), sketch(&[("/a", 3, 1), ("/c", 2, 0)], 1)];
        let expected = sketch(&[("/a", 13, 1), ("/b", 6, 3), ("/c", 6, 4)], 5);
        assert_eq!(merged(&pieces, 9), expected);
        assert_eq!(merged(&pieces, 1), sketch(&[("/a", 13, 1)], 6));
        assert_eq!(merged(std::slice::from_ref(&expected), 9), expected, "merging one changes nothing");
    }

    #[test]
    fn what_is_taken_back_lowers_a_count() {
        let pieces =
            [sketch(&[("/a", 2, 0), ("/ab", 1, 0)], 0), sketch(&[("/abc", 1, 0), ("/ab", -1, 0)], 0)];
        assert_eq!(merged(&pieces, 9), sketch(&[("/a", 2, 0), ("/abc", 1, 0)], 0));
        assert_eq!(merged(&[sketch(&[("/x", -1, 0)], 3)], 9), sketch(&[], 3));
    }

    #[test]
    fn many_pieces_stay_within_their_error() {
        let mut exact: HashMap<String, i64> = HashMap::new();
        let mut merger = SketchMerger::default();
        for n in 0..400_i64 {
            let mut paths: Vec<(String, i64)> =
                (0..50).map(|k| (format!("/cold/{n}/{k}"), 1 + (n + k) % 3)).collect();
            paths.push((format!("/hot/{}", n % 5), 20));
            for (path, requests) in &paths {
                *exact.entry(path.clone()).or_default() += requests;
            }
            let paths: Vec<_> = paths.iter().map(|(path, requests)| (&**path, *requests, 0)).collect();
            merger.add(sketch(&paths, 0));
        }
        let found = merger.finish(MAX_PATHS);
        assert_eq!(found.paths.len(), MAX_PATHS);
        for PathCount { path, requests, error } in &found.paths {
            let true_count = exact.remove(path).unwrap();
            assert!((requests - error..=*requests).contains(&true_count), "{path}");
        }
        assert!(found.paths[..5].iter().all(|path| path.path.starts_with("/hot/")));
        assert!(exact.values().all(|requests| *requests <= found.missed));
    }

    #[test]
    fn sketches_are_decoded_as_they_were_encoded() {
        let known = sketch(&[("/更新\"", 3, 1), ("", 2, 0)], 7);
        assert_eq!(PathSketch::decode(&known.encode()).unwrap(), known);
        assert!(PathSketch::decode(b"[1]").is_err());
    }
}
