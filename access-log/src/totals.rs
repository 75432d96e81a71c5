//! Traffic totals: bytes, hits and requests per domain and five-minute bucket, bytes per city, and counts of lines by outcome.

use crate::{CityKey, DomainNumber};

/// Length of a bucket in seconds.
pub(crate) const BUCKET_LENGTH: i64 = 300;

/// Traffic of one domain in one bucket. It is a change to what was recorded before and may be negative: when an unterminated
/// last line has grown, its earlier count is withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BucketTotals {
    /// Domain that the requests were for.
    pub domain: DomainNumber,
    /// Begin of the bucket in unix seconds, a multiple of 300.
    pub bucket_start: i64,
    /// Bytes sent.
    pub flux: i64,
    /// Bytes among these that were sent from the cache.
    pub hit_flux: i64,
    /// Billed requests.
    pub requests: i64,
    /// Billed requests that were answered from the cache.
    pub hits: i64,
    /// Billed requests by status class: 2xx, 3xx, 4xx, 5xx. Others (101, 999) are in none, so the sum may be below `requests`.
    pub classes: [i64; 4],
}

impl BucketTotals {
    /// Counts a billed request `sign` times: once, or minus once to withdraw it.
    #[inline]
    pub(crate) fn count_request(&mut self, status: u16, hit: bool, sign: i64) {
        self.requests += sign;
        self.hits += i64::from(hit) * sign;
        if let Some(class) = self.classes.get_mut(usize::from(status / 100).wrapping_sub(2)) {
            *class += sign;
        }
    }

    /// Adds bytes of an answer. A billion lines of the greatest size would overflow: absurd, but it must not stop anybody's log.
    #[inline]
    pub(crate) fn add_flux(&mut self, flux: i64, hit: bool) {
        self.flux = self.flux.saturating_add(flux);
        self.hit_flux = self.hit_flux.saturating_add(if hit { flux } else { 0 });
    }
}

/// Bytes of one domain sent to one city in one bucket. The cities of a bucket add up to its [`BucketTotals::flux`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CityTotals {
    /// Domain that the requests were for.
    pub domain: DomainNumber,
    /// Begin of the bucket in unix seconds, a multiple of 300.
    pub bucket_start: i64,
    /// City of the client's address.
    pub city: CityKey,
    /// Bytes sent; may be negative as in [`BucketTotals`].
    pub flux: i64,
}

/// Numbers of lines by outcome. Every line is exactly one of billed, unreadable, unregistered and purge. May be negative as in
/// [`BucketTotals`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// All lines.
    pub lines: i64,
    /// Lines whose bytes and request are part of the traffic.
    pub billed: i64,
    /// Lines kept for download: host and time could be read and the host is registered. Billed or not.
    pub kept: i64,
    /// Lines of which host, time, request, status or bytes could not be read.
    pub unreadable: i64,
    /// Lines of hosts that are not registered.
    pub unregistered: i64,
    /// Purge requests for registered hosts.
    pub purges: i64,
}

impl std::ops::AddAssign for LineCounts {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.billed += other.billed;
        self.kept += other.kept;
        self.unreadable += other.unreadable;
        self.unregistered += other.unregistered;
        self.purges += other.purges;
    }
}
