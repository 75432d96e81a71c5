//! What is billed for a month: one bandwidth, found among the month's buckets by a rule.
//!
//! The month is the server zone's. Each bucket has the [`bandwidth`] of the bytes of the asked domains together; one
//! without traffic is 0 and counts like any other. Of a month that is not over, the buckets that are over count, and the
//! answer says until when; a day counts as soon as one of its buckets does.
//!
//! | rule | bandwidth | as |
//! |---|---|---|
//! | `month95` | buckets from the highest to the lowest, the first 5 % of them (rounded down) left out: the next one | Alibaba Cloud's and Tencent Cloud's monthly 95th percentile |
//! | `daily_peak` | the average of the days' highest buckets, halves rounded up | their monthly average of daily peaks |
//! | `top5` | days by their highest bucket: that of the fifth; 0 before the fifth day | the fifth daily peak, as Alibaba Cloud defines the fourth |
//!
//! Of equal buckets the earlier one comes first.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::domain_name;
use super::traffic::{self, BUCKET_SECONDS, Bucket, Point, Traffic, bandwidth};
use crate::account::Caller;
use crate::{Error, Result};

/// How the billed bandwidth is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BillingRule {
    /// The highest bucket once the highest 5 % are left out.
    Month95,
    /// The average of the days' highest buckets.
    DailyPeak,
    /// The fifth of the days' highest buckets.
    Top5,
}

impl BillingRule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::Month95, Self::DailyPeak, Self::Top5];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Month95 => "month95",
            Self::DailyPeak => "daily_peak",
            Self::Top5 => "top5",
        }
    }
}

impl fmt::Display for BillingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BillingRule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == name);
        rule.ok_or_else(|| Error::invalid("rule", "must be month95, daily_peak or top5"))
    }
}

/// What is to be billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingQuery {
    /// Names of domains; none are all the caller's.
    pub domains: Vec<String>,
    /// `YYYYMM`.
    pub month: String,
    /// How.
    pub rule: BillingRule,
}

/// What is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Bits per second.
    pub bandwidth: i64,
    /// What it comes from, in bits per second: one bucket, or of an average every day's highest. None before the first
    /// bucket is over, and for the fifth peak before the fifth day.
    pub points: Vec<Point>,
    /// When the month begins, unix seconds.
    pub begin: i64,
    /// Until when it counts, unix seconds: the month's end, or the end of the last bucket that is over.
    pub until: i64,
    /// Whether the month is over.
    pub is_over: bool,
}

impl Traffic<'_> {
    /// What is billed to the caller for a month of some domains together. Refuses a month that has not begun, and a
    /// domain that the caller does not hold, whether or not it exists.
    pub async fn billing(&self, caller: &Caller, query: &BillingQuery) -> Result<Bill> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, None).await?;
        let timezone = self.0.settings().timezone;
        let (begin, end) = month(&query.month, timezone)?;
        let now = self.0.clock().now().timestamp().div_euclid(BUCKET_SECONDS);
        if begin > now {
            return Err(Error::invalid("month", "must have begun"));
        }
        let names: Result<Vec<_>> = query.domains.iter().map(|name| domain_name("domain", name)).collect();
        let domains = self.domains(&mut *snapshot, caller, &customer, &names?).await?;
        let until = end.min(now);
        let mut points = Vec::new();
        if begin < until {
            let sums = traffic::flux_sums(&mut *snapshot, &traffic::ids(&domains), begin..=until - 1).await?;
            let point =
                |(bucket, flux)| Point { time_stamp: bucket * BUCKET_SECONDS, value: bandwidth(flux) };
            points.extend((begin..until).zip(sums).map(point));
        }
        let (bandwidth, points) = billed(points, query.rule, timezone);
        let (begin, until) = (begin * BUCKET_SECONDS, until * BUCKET_SECONDS);
        Ok(Bill { bandwidth, points, begin, until, is_over: now >= end })
    }
}

/// The first bucket of a month, and that of the next one.
fn month(text: &str, timezone: Tz) -> Result<(Bucket, Bucket)> {
    let wrong = || Error::invalid("month", "must be a month as YYYYMM, from 197002 on");
    let digits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let first = NaiveDate::parse_from_str(&format!("{text}01"), "%Y%m%d").ok().filter(|_| digits);
    let first =
        first.filter(|first| NaiveDate::from_ymd_opt(1970, 2, 1).is_some_and(|least| *first >= least));
    let first = first.ok_or_else(wrong)?;
    let next = first.checked_add_months(Months::new(1)).ok_or_else(wrong)?;
    Ok((first_bucket(first, timezone), first_bucket(next, timezone)))
}

/// The first bucket of a day. Where clocks jump over midnight, the day begins after the jump.
fn first_bucket(day: NaiveDate, timezone: Tz) -> Bucket {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    let mut quarters = (0..96).map(|quarter| midnight + TimeDelta::minutes(15 * quarter));
    let begin = quarters.find_map(|time| time.and_local_timezone(timezone).earliest());
    let begin = begin.map_or_else(|| midnight.and_utc(), |begin| begin.to_utc());
    begin.timestamp().div_euclid(BUCKET_SECONDS)
}

/// The billed bandwidth and what it comes from. `points` are in order.
fn billed(mut points: Vec<Point>, rule: BillingRule, timezone: Tz) -> (i64, Vec<Point>) {
    let (mut candidates, place) = match rule {
        BillingRule::Month95 => {
            let place = points.len() * 5 / 100;
            points.sort_by_key(|point| Reverse(point.value));
            (points, place)
        }
        BillingRule::DailyPeak => {
            let peaks = daily_peaks(&points, timezone);
            return (average(&peaks), peaks);
        }
        BillingRule::Top5 => {
            let mut peaks = daily_peaks(&points, timezone);
            peaks.sort_by_key(|point| Reverse(point.value));
            (peaks, 4)
        }
    };
    if place >= candidates.len() {
        return (0, Vec::new());
    }
    let point = candidates.swap_remove(place);
    (point.value, vec![point])
}

/// The highest point of each day, by day.
fn daily_peaks(points: &[Point], timezone: Tz) -> Vec<Point> {
    let day = |point: &Point| {
        let time = DateTime::<Utc>::from_timestamp(point.time_stamp, 0).unwrap_or_default();
        time.with_timezone(&timezone).date_naive()
    };
    let days = points.chunk_by(|a, b| day(a) == day(b));
    // `max_by_key` would take the last of equal ones.
    days.filter_map(|day| day.iter().min_by_key(|point| Reverse(point.value)).copied()).collect()
}

fn average(points: &[Point]) -> i64 {
    let (sum, count) =
        points.iter().fold((0_i128, 0), |(sum, count), point| (sum + i128::from(point.value), count + 1));
    if count == 0 { 0 } else { i64::try_from((2 * sum + count).div_euclid(2 * count)).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: Tz = Tz::Asia__Shanghai;

    /// September 2016 in Shanghai: 30 days, 8640 buckets.
    fn september() -> (Bucket, Bucket) {
        month("201609", ZONE).unwrap()
    }

    /// The month with these bandwidths at day (from 1) and bucket of the day, 1 where nothing is said.
    fn points(given: &[(i64, i64, i64)]) -> Vec<Point> {
        let (begin, end) = september();
        let mut points: Vec<_> =
            (begin..end).map(|bucket| Point { time_stamp: bucket * 300, value: 1 }).collect();
        for (day, slot, value) in given {
            points[usize::try_from((day - 1) * 288 + slot).unwrap()].value = *value;
        }
        points
    }

    fn at(day: i64, slot: i64, value: i64) -> Point {
        Point { time_stamp: (september().0 + (day - 1) * 288 + slot) * 300, value }
    }

    #[test]
    fn months_are_the_zones() {
        // 2016-08-31T16:00Z and 2016-09-30T16:00Z.
        assert_eq!(september(), (1_472_659_200 / 300, 1_475_251_200 / 300));
        assert_eq!(month("201602", Tz::UTC).map(|(begin, end)| (end - begin) / 288).unwrap(), 29);
        // New York's clocks go back an hour in November.
        assert_eq!(
            month("201611", Tz::America__New_York).map(|(begin, end)| end - begin).unwrap(),
            8640 + 12
        );
        // In Beirut, 2022-03-27 began at one o'clock.
        assert_eq!(
            first_bucket(NaiveDate::from_ymd_opt(2022, 3, 27).unwrap(), Tz::Asia__Beirut),
            1_648_332_000 / 300
        );
        for bad in ["", "2016", "201613", "201600", "2016-9", "20160901", "+20169", "197001", "２0160９"] {
            let refused = month(bad, ZONE).unwrap_err().to_string();
            assert_eq!(refused, "month: must be a month as YYYYMM, from 197002 on", "{bad}");
        }
    }

    #[test]
    fn month95_leaves_out_the_highest_twentieth() {
        // 8640 buckets: 432 are left out. Here 433 stand out, from 1001 to 1433; the lowest of them is left.
        let standing_out: Vec<_> = (0..433).map(|n| (1 + n % 30, n / 30, 1001 + n)).collect();
        assert_eq!(billed(points(&standing_out), BillingRule::Month95, ZONE), (1001, vec![at(1, 0, 1001)]));
        // With one fewer nothing of them is.
        let fewer = &standing_out[1..];
        assert_eq!(billed(points(fewer), BillingRule::Month95, ZONE), (1, vec![at(1, 0, 1)]));
        // 5 % of 39 buckets is 1.95: one is left out.
        let mut few = points(&[(1, 3, 9), (1, 5, 8)]);
        few.truncate(39);
        assert_eq!(billed(few, BillingRule::Month95, ZONE), (8, vec![at(1, 5, 8)]));
        assert_eq!(billed(Vec::new(), BillingRule::Month95, ZONE), (0, Vec::new()));
    }

    #[test]
    fn daily_peak_is_the_average_of_the_days() {
        // 28 days of 1, one of 100 and one of 1000: 1128 by 30 is 37.6.
        let month = points(&[(3, 7, 100), (3, 9, 100), (30, 287, 1000), (30, 286, 999)]);
        let (bandwidth, peaks) = billed(month, BillingRule::DailyPeak, ZONE);
        assert_eq!((bandwidth, peaks.len()), (38, 30));
        assert_eq!((peaks[0], peaks[2], peaks[29]), (at(1, 0, 1), at(3, 7, 100), at(30, 287, 1000)));
        let mut begun = points(&[(2, 0, 2)]);
        begun.truncate(289);
        // Two days, the second just begun: 1 and 2, and halves are rounded up.
        assert_eq!(billed(begun, BillingRule::DailyPeak, ZONE).0, 2);
        assert_eq!(billed(Vec::new(), BillingRule::DailyPeak, ZONE), (0, Vec::new()));
    }

    #[test]
    fn top5_is_the_fifth_day() {
        let days =
            [(9, 1, 500), (2, 2, 900), (4, 3, 700), (4, 4, 699), (4, 5, 698), (6, 6, 600), (8, 7, 800)];
        assert_eq!(billed(points(&days), BillingRule::Top5, ZONE), (500, vec![at(9, 1, 500)]));
        let mut four = points(&days);
        four.truncate(4 * 288);
        assert_eq!(billed(four, BillingRule::Top5, ZONE), (0, Vec::new()), "there is no fifth day yet");
        let mut five = points(&days);
        five.truncate(4 * 288 + 1);
        assert_eq!(billed(five, BillingRule::Top5, ZONE), (1, vec![at(5, 0, 1)]));
    }

    #[test]
    fn rules_are_named_as_on_the_wire() {
        for rule in BillingRule::ALL {
            assert_eq!(rule.to_string().parse::<BillingRule>().unwrap(), rule);
        }
        assert_eq!(
            "95".parse::<BillingRule>().unwrap_err().to_string(),
            "rule: must be month95, daily_peak or top5"
        );
    }
}
