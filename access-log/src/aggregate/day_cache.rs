//! Day cache: the calendar day of a time in a zone.

use chrono::{DateTime, NaiveDate, TimeZone};
use chrono_tz::Tz;

/// Seconds in a quarter of an hour. Zones have moved by multiples of it, at least since 1970, so within one the day is nearly
/// always the same.
const QUARTER: i64 = 900;

/// Converts times to days, and caches the day of the last quarter of an hour.
#[derive(Debug)]
pub(super) struct DayCache {
    zone: Tz,
    quarter: i64,
    day: NaiveDate,
}

impl DayCache {
    pub(super) fn new(zone: Tz) -> Self {
        Self { zone, quarter: i64::MIN, day: NaiveDate::MIN }
    }

    /// Day of `time`, which is in unix seconds.
    #[inline]
    pub(super) fn day_of(&mut self, time: i64) -> NaiveDate {
        let quarter = time.div_euclid(QUARTER);
        if quarter == self.quarter { self.day } else { self.look_up(time, quarter) }
    }

    fn look_up(&mut self, time: i64, quarter: i64) -> NaiveDate {
        let day = self.day(time);
        // Cached only if both ends agree, in case a zone has moved by some odd amount.
        if self.day(quarter * QUARTER) == day && self.day(quarter * QUARTER + QUARTER - 1) == day {
            (self.quarter, self.day) = (quarter, day);
        }
        day
    }

    fn day(&self, time: i64) -> NaiveDate {
        let utc = DateTime::from_timestamp(time, 0).unwrap_or_default();
        self.zone.from_utc_datetime(&utc.naive_utc()).date_naive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_begin_at_midnight_of_the_zone() {
        let mut days = DayCache::new(chrono_tz::Asia::Shanghai);
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        assert_eq!(days.day_of(1_431_878_399), day(2015, 5, 17));
        assert_eq!(days.day_of(1_431_878_400), day(2015, 5, 18));
        assert_eq!(days.day_of(1_431_878_399), day(2015, 5, 17));
    }

    proptest! {
        #[test]
        fn caching_changes_nothing(times in proptest::collection::vec(0i64..4_102_444_800, 1..30), zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let mut days = DayCache::new(zone);
            for time in times.into_iter().flat_map(|time| [time, time + 1, time - time % 900, time - time % 900 + 899]) {
                let expected = DateTime::from_timestamp(time, 0).unwrap().with_timezone(&zone).date_naive();
                prop_assert_eq!(days.day_of(time), expected);
            }
        }
    }
}
