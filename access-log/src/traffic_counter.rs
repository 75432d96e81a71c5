//! Traffic counter: totals alone, without keeping lines and without recognising a log that comes again.

use memchr::memchr_iter;

use crate::aggregate::Aggregator;
use crate::{BucketTotals, CityTotals, HourPaths, LineCounts, Rules, RulesError};

/// Counter of traffic that keeps no lines. A program that needs the lines again, or may see the same log twice, uses a
/// [`crate::IncrementalParser`].
///
/// ```
/// use pilothouse_access_log::{DomainIndex, DomainNumber, Format, Rules, Stamp, TrafficCounter};
///
/// let domains = DomainIndex::new([("a.example.com", DomainNumber(7))]);
/// let rules = Rules { format: Format::Tsv, domains: &domains, default_domain: None, cities: None,
///     keeps_unregistered: None, timezone: chrono_tz::Asia::Shanghai, stamp: Stamp::End };
/// let mut counter = TrafficCounter::new(&rules)?;
/// let log = b"1795237945.037\ta.example.com\t200\t235\t127.0.0.1\tMISS\t0.000\tGET\t/b\n1795237945.0";
/// assert_eq!(counter.count(log), 65, "the second line has not ended");
/// let totals = counter.take();
/// assert_eq!((totals.traffic[0].flux, totals.counts.billed), (235, 1));
/// assert!(totals.top_paths.is_empty());
/// let mut counter = TrafficCounter::with_top_paths(&rules)?;
/// counter.count(log);
/// assert_eq!(counter.take().top_paths[0].paths[0].path, b"/b");
/// # Ok::<_, pilothouse_access_log::RulesError>(())
/// ```
#[derive(Debug)]
pub struct TrafficCounter<'a>(Aggregator<'a>);

/// Totals of a [`TrafficCounter`] since they were last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficTotals {
    /// Line counts; `kept` are those that a [`crate::IncrementalParser`] would have kept.
    pub counts: LineCounts,
    /// Traffic; a pair of domain and bucket occurs once.
    pub traffic: Vec<BucketTotals>,
    /// Traffic by city; empty without [`Rules::cities`].
    pub city_traffic: Vec<CityTotals>,
    /// Most requested paths; empty where [`TrafficCounter::with_top_paths`] does not count them.
    pub top_paths: Vec<HourPaths>,
}

impl<'a> TrafficCounter<'a> {
    /// Starts at zero; refuses rules that contradict each other.
    pub fn new(rules: &Rules<'a>) -> Result<Self, RulesError> {
        rules.check()?;
        Ok(Self(Aggregator::new(rules).without_urls()))
    }

    /// Starts at zero, and counts the requests by path too; refuses rules that contradict each other.
    pub fn with_top_paths(rules: &Rules<'a>) -> Result<Self, RulesError> {
        rules.check()?;
        Ok(Self(Aggregator::new(rules)))
    }

    /// Counts the whole lines that `text` begins with, and returns their length in bytes.
    pub fn count(&mut self, text: &[u8]) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            self.0.count(&text[start..=end]);
            start = end + 1;
        }
        start
    }

    /// Hands out the totals and starts at zero again.
    pub fn take(&mut self) -> TrafficTotals {
        let sums = self.0.take();
        TrafficTotals {
            counts: sums.counts,
            traffic: sums.traffic,
            city_traffic: sums.city_traffic,
            top_paths: sums.top_paths,
        }
    }
}
