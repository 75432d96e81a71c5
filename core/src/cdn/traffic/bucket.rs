//! Buckets: the five minutes that traffic is counted by, and the figures of one.

use std::ops::RangeInclusive;

use crate::cdn::identifier::DomainId;

/// The length of a bucket in seconds.
pub const BUCKET_SECONDS: i64 = 300;
/// The buckets of a day.
pub const BUCKETS_OF_DAY: i64 = 288;
/// The number of a bucket: unix seconds by 300, rounded down.
pub type Bucket = i64;

/// A day of traffic: its number since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl From<Day> for i64 {
    fn from(day: Day) -> Self {
        day.0
    }
}

/// Figures of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes sent to clients.
    pub flux: i64,
    /// Bytes among these that were sent from the cache; 0 of lines that were read before these were counted, and of vendors that
    /// do not tell them.
    pub hit_flux: i64,
    /// Billed requests of any status.
    pub requests: i64,
    /// Requests among these that were answered from the cache.
    pub hits: i64,
    /// Answers by class: 2xx, 3xx, 4xx, 5xx.
    pub classes: [i64; 4],
}

impl Figures {
    /// All but the bytes, in the order of sealed blocks and of undo records.
    pub(super) fn counts(self) -> [i64; 7] {
        let [c2, c3, c4, c5] = self.classes;
        [self.requests, self.hits, c2, c3, c4, c5, self.hit_flux]
    }

    /// Figures of bytes and [`Self::counts`].
    pub(super) fn of_counts(flux: i64, [requests, hits, c2, c3, c4, c5, hit_flux]: [i64; 7]) -> Self {
        Self { flux, hit_flux, requests, hits, classes: [c2, c3, c4, c5] }
    }

    /// Adds; what does not fit stays at the greatest number, so that an absurd log cannot stop the others.
    pub fn add(&mut self, other: Self) {
        self.flux = self.flux.saturating_add(other.flux);
        self.hit_flux = self.hit_flux.saturating_add(other.hit_flux);
        self.requests = self.requests.saturating_add(other.requests);
        self.hits = self.hits.saturating_add(other.hits);
        for (class, other) in self.classes.iter_mut().zip(other.classes) {
            *class = class.saturating_add(other);
        }
    }

    /// Change that leads from other figures to these.
    pub(super) fn since(self, before: Self) -> Self {
        let classes = std::array::from_fn(|n| self.classes[n].saturating_sub(before.classes[n]));
        Self {
            flux: self.flux.saturating_sub(before.flux),
            hit_flux: self.hit_flux.saturating_sub(before.hit_flux),
            requests: self.requests.saturating_sub(before.requests),
            hits: self.hits.saturating_sub(before.hits),
            classes,
        }
    }
}

/// The figures of one domain in one bucket; a change to them where it is recorded, so they may be negative there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Domain whose traffic it is.
    pub domain_id: DomainId,
    /// Five minutes that the figures are of.
    pub bucket: Bucket,
    /// Figures, or the change to them.
    pub figures: Figures,
}

/// Bits per second of the bytes of a bucket: eight times as many by 300 seconds, halves rounded up.
pub(in crate::cdn) fn bandwidth(flux: i64) -> i64 {
    let rounded = (i128::from(flux) * 8 + 150).div_euclid(300);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

pub(super) fn day_of(bucket: Bucket) -> Day {
    Day(bucket.div_euclid(BUCKETS_OF_DAY))
}

pub(super) fn buckets_of(Day(day): Day) -> RangeInclusive<Bucket> {
    day * BUCKETS_OF_DAY..=day * BUCKETS_OF_DAY + (BUCKETS_OF_DAY - 1)
}

/// The place of a bucket in its day's columns.
pub(super) fn slot(bucket: Bucket) -> usize {
    usize::try_from(bucket.rem_euclid(BUCKETS_OF_DAY)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_fluxs_give_its_bandwidths() {
        let documented = [
            (150_995, 4027),
            (92_393_177, 2_463_818),
            (188_744, 5033),
            (9437, 252),
            (0, 0),
            (692_966_130, 18_479_097),
            (69_328_699, 1_848_765),
        ];
        for (flux, expected) in documented {
            assert_eq!(bandwidth(flux), expected, "of {flux} bytes");
        }
    }

    #[test]
    fn a_day_has_288_buckets_also_before_1970() {
        for (bucket, day) in [(-1, -1), (0, 0), (287, 0), (288, 1)] {
            assert_eq!(day_of(bucket), Day(day));
            assert!(buckets_of(Day(day)).contains(&bucket), "{bucket}");
        }
        assert_eq!(buckets_of(Day(1)), 288..=575);
    }

    #[test]
    fn bandwidths_are_rounded_and_never_overflow() {
        assert_eq!((bandwidth(18), bandwidth(19)), (0, 1));
        assert_eq!((bandwidth(56), bandwidth(57), bandwidth(75)), (1, 2, 2));
        assert_eq!(bandwidth(i64::MAX), 245_956_587_649_460_688);
    }
}
