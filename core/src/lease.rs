//! Leases: what holds until a moment of the store's clock, and for a known length at the most.

use chrono::{DateTime, TimeDelta, Utc};

/// Tolerance of a lease's length. Two transactions may commit in another order than they read the clock in, and a clock
/// is corrected by fractions of a second without being wrong.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// Kind of lease, by its length. A lease that ends further away than that is void: it was written by a clock that was
/// ahead, and would last for as long as that clock was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(TimeDelta);

impl Lease {
    /// Leases of this length.
    pub const fn of(length: TimeDelta) -> Self {
        Self(length)
    }

    /// Length of a lease from its renewal to its end.
    pub const fn length(self) -> TimeDelta {
        self.0
    }

    /// End of a lease that is granted or renewed at `now`.
    pub fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.0
    }

    /// The latest end that is believed at `now`; a lease that ends later is void.
    pub fn latest_end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.end(now) + TOLERANCE
    }

    /// The latest end that is believed of a lease while another of its kind is renewed to `end`.
    pub fn latest_beside(end: DateTime<Utc>) -> DateTime<Utc> {
        end + TOLERANCE
    }

    /// Whether a lease that ends at `end` is void at `now`: it ends further away than any of its kind.
    pub fn is_void(self, end: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        end > self.latest_end(now)
    }

    /// Whether a lease that ends at `end` is held at `now`: it is not over, and not void.
    pub fn is_held(self, end: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now < end && !self.is_void(end, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_further_away_than_its_length_is_void() {
        let (lease, now) = (Lease::of(TimeDelta::seconds(15)), DateTime::UNIX_EPOCH);
        let held = |end: i64| lease.is_held(now + TimeDelta::milliseconds(end), now);
        for (end, expected) in [
            (-1, false),
            (0, false),
            (1, true),
            (15_000, true),
            (16_000, true),
            (16_001, false),
            (28_800_000, false),
        ] {
            assert_eq!(held(end), expected, "{end} ms");
        }
        assert!(held(lease.end(now).timestamp_millis()));
    }
}
