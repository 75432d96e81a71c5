//! Kept-aside lines of unregistered hosts: where they lie in the pack, and what they would have counted.

use chrono::NaiveDate;

use crate::aggregate::UnregisteredDay;
use crate::{BucketTotals, CityTotals, DomainNumber};

/// Lines of one unregistered host and day in the pack of a batch: a gzip member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisteredLines {
    /// Host in lower case, without port and trailing dot.
    pub host: String,
    /// Day of the lines, in the zone of [`crate::Rules::timezone`].
    pub day: NaiveDate,
    /// Offset of the gzip member in the pack, in bytes.
    pub offset: u64,
    /// Length of the gzip member in bytes.
    pub length: u64,
    /// Number of log lines in the member.
    pub lines: u64,
    /// Bytes of the lines before compression.
    pub raw_length: u64,
    /// Time of the earliest line in unix seconds.
    pub first: i64,
    /// Time of the latest line in unix seconds.
    pub last: i64,
    /// Whether it is one unterminated line, which is withdrawn if it grows.
    pub is_open: bool,
    /// Traffic that the lines would have been, by bucket; the domain is 0.
    pub traffic: Vec<BucketTotals>,
    /// The same by city; empty without [`crate::Rules::cities`].
    pub city_traffic: Vec<CityTotals>,
}

impl UnregisteredLines {
    /// The lines of a day, compressed into a member.
    pub(crate) fn at(offset: u64, length: u64, day: UnregisteredDay) -> Self {
        let UnregisteredDay { host, day, lines, raw, first, last, traffic, city_bytes, is_open } = day;
        let domain = DomainNumber::default();
        let totals = |((bucket_start, city), flux)| CityTotals { domain, bucket_start, city, flux };
        let mut city_traffic: Vec<_> = city_bytes.into_iter().map(totals).collect();
        city_traffic.sort_unstable_by_key(|totals| (totals.bucket_start, totals.city));
        let raw_length = raw.len() as u64;
        Self { host, day, offset, length, lines, raw_length, first, last, is_open, traffic, city_traffic }
    }
}
