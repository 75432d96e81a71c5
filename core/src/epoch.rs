//! Epoch: the part of a revision that tells one history of a store from another.

use chrono::{DateTime, Utc};

/// Bits of a revision below its epoch.
const NUMBER_BITS: u32 = 32;
/// Unix time of the beginning of 2020, from which the hours are counted.
const BEGIN: i64 = 1_577_836_800;
/// First number of hours that is not believed: a clock that far ahead must not use up the epochs.
const CLOCK_LIMIT: i64 = 1 << 20;

/// Generation of an app's revisions: at least 1, below 2^21, so that a revision is exact as a JavaScript number.
///
/// Renewed when a store was restored or may have been, and greater for an app that is created again, so that nothing of
/// another history is taken for the same. It only grows, also where a backup took its counter back: a renewal is at least
/// the number of hours since 2020.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch of a new store, by a clock.
    pub fn first(now: DateTime<Utc>) -> Self {
        Self(0).next(now)
    }

    /// The epoch that follows this one.
    #[must_use]
    pub fn next(self, now: DateTime<Utc>) -> Self {
        let hours = (now.timestamp() - BEGIN) / 3600;
        let hours = if hours < CLOCK_LIMIT { hours } else { 0 };
        Self(hours.max(self.0 + 1))
    }

    /// The revision of an app's `number`-th change in this epoch: epoch * 2^32 + number.
    pub fn revision(self, number: i64) -> i64 {
        self.0 << NUMBER_BITS | number
    }

    /// The epoch of a revision.
    pub fn of(revision: i64) -> Self {
        Self(revision >> NUMBER_BITS)
    }

    /// The number of a revision within its epoch.
    pub fn number_of(revision: i64) -> i64 {
        revision & ((1 << NUMBER_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(BEGIN + hours * 3600 + 1800, 0).unwrap()
    }

    #[test]
    fn an_epoch_only_grows() {
        assert_eq!(Epoch::first(hours(60_000)), Epoch(60_000));
        assert_eq!(Epoch(60_000).next(hours(60_000)), Epoch(60_001), "twice within an hour");
        assert_eq!(Epoch(7).next(hours(60_000)), Epoch(60_000), "after a backup took the counter back");
        assert_eq!(Epoch(60_000).next(hours(-400_000)), Epoch(60_001), "a clock before 2020");
        assert_eq!(Epoch(60_000).next(hours(CLOCK_LIMIT)), Epoch(60_001), "a clock in the far future");
        assert_eq!(Epoch::first(DateTime::UNIX_EPOCH), Epoch(1));
    }

    #[test]
    fn a_revision_holds_epoch_and_number() {
        let revision = Epoch(60_000).revision(70_000);
        assert_eq!((Epoch::of(revision), Epoch::number_of(revision)), (Epoch(60_000), 70_000));
        assert!(Epoch(60_001).revision(0) > Epoch(60_000).revision(i64::from(u32::MAX)));
        assert!(Epoch((1 << 21) - 1).revision(i64::from(u32::MAX)) < 1 << 53);
    }
}
