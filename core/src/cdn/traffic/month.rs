//! Calendar month, as bills are for.

use std::ops::Range;
use std::str::FromStr;

use chrono::{Months, NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::bucket::{BUCKET_SECONDS, Bucket};
use crate::{Error, Result};

/// Calendar month, on the wire `YYYYMM`: not before 197002, so that it begins after 1970 in every zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Month {
    first: NaiveDate,
    /// First day of the month after it.
    next: NaiveDate,
}

impl FromStr for Month {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        let first = NaiveDate::parse_from_str(&format!("{text}01"), "%Y%m%d").ok().filter(|_| digits);
        let month = first.and_then(Self::beginning);
        month.ok_or_else(|| Error::invalid("month", "must be a month as YYYYMM, from 197002 on"))
    }
}

impl Month {
    fn beginning(first: NaiveDate) -> Option<Self> {
        let is_late = first >= NaiveDate::from_ymd_opt(1970, 2, 1)?;
        let next = first.checked_add_months(Months::new(1))?;
        is_late.then_some(Self { first, next })
    }

    /// Buckets of the month in a zone.
    pub(super) fn buckets(self, timezone: Tz) -> Range<Bucket> {
        first_bucket(self.first, timezone)..first_bucket(self.next, timezone)
    }
}

/// The first bucket of a day. Where clocks jump over midnight, the day begins after the jump.
fn first_bucket(day: NaiveDate, timezone: Tz) -> Bucket {
    let midnight = day.and_time(NaiveTime::MIN);
    let mut quarters = (0..96).map(|quarter| midnight + TimeDelta::minutes(15 * quarter));
    let begin = quarters.find_map(|time| time.and_local_timezone(timezone).earliest());
    let begin = begin.map_or_else(|| midnight.and_utc(), |begin| begin.to_utc());
    begin.timestamp().div_euclid(BUCKET_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(month: &str, timezone: Tz) -> Range<Bucket> {
        month.parse::<Month>().unwrap().buckets(timezone)
    }

    #[test]
    fn months_are_the_zones() {
        // 2016-08-31T16:00Z and 2016-09-30T16:00Z.
        assert_eq!(buckets("201609", Tz::Asia__Shanghai), 1_472_659_200 / 300..1_475_251_200 / 300);
        assert_eq!(buckets("201602", Tz::UTC).count() / 288, 29);
        // New York's clocks go back an hour in November.
        assert_eq!(buckets("201611", Tz::America__New_York).count(), 8640 + 12);
        // In Beirut, 2022-03-27 began at one o'clock.
        assert_eq!(
            first_bucket(NaiveDate::from_ymd_opt(2022, 3, 27).unwrap(), Tz::Asia__Beirut),
            1_648_332_000 / 300
        );
    }

    #[test]
    fn months_are_six_digits_from_february_1970_on() {
        for good in ["197002", "201612", "999912"] {
            assert!(good.parse::<Month>().is_ok(), "{good}");
        }
        for bad in ["", "2016", "201613", "201600", "2016-9", "20160901", "+20169", "197001", "２0160９"] {
            let refused = bad.parse::<Month>().unwrap_err().to_string();
            assert_eq!(refused, "month: must be a month as YYYYMM, from 197002 on", "{bad}");
        }
    }
}
