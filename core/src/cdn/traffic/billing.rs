//! Billing: the billable bandwidth of a month, found among its buckets by a rule.
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
use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::bucket::{BUCKET_SECONDS, Bucket, bandwidth};
use super::month::Month;
use super::series::{Point, flux_sums};
use super::vendor_figures::FigureSource;
use crate::account::Caller;
use crate::cdn::customers::{domain_name, ids};
use crate::{Error, Pilothouse, Result};

/// Rule that derives a month's billable bandwidth from its 5-minute buckets.
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
    /// All rules, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Month95, Self::DailyPeak, Self::Top5];

    /// Name on the wire.
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

/// Domains, month and rule of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingQuery {
    /// Mail of the customer whose bill it is, for which a caller other than itself needs group 8; the caller itself where there
    /// is none.
    pub login_email: Option<String>,
    /// Names of domains; none are all the customer's.
    pub domains: Vec<String>,
    /// Calendar month in the server's zone.
    pub month: Month,
    /// Rule by which the bandwidth is found.
    pub rule: BillingRule,
}

/// A bill: the bandwidth and the points it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Billable bandwidth in bits per second.
    pub bandwidth: i64,
    /// Points it comes from, in bits per second: one bucket, or of an average every day's highest. None before the first
    /// bucket is over, and for the fifth peak before the fifth day.
    pub points: Vec<Point>,
    /// Beginning of the month in unix seconds.
    pub begin: i64,
    /// Until when it counts, unix seconds: the month's end, or the end of the last bucket that is over.
    pub until: i64,
    /// Whether the month is over.
    pub is_over: bool,
}

/// The use cases of billing.
#[derive(Clone, Copy, Debug)]
pub struct Billing<'a>(pub(crate) &'a Pilothouse);

impl Billing<'_> {
    /// Bill of a customer for a month of some domains together. Refuses a month that has not begun, a domain that the
    /// customer did not hold in it, whether or not it exists, and figures of a vendor that are estimates, or not known to the
    /// end of a month that is over.
    pub async fn bill(&self, caller: &Caller, query: &BillingQuery) -> Result<Bill> {
        let mut snapshot = self.0.storage().read().await?;
        let customer = self.0.customer_of(&mut *snapshot, caller, query.login_email.as_deref()).await?;
        let counted = self.counted(query.month)?;
        let names: Result<Vec<_>> = query.domains.iter().map(|name| domain_name("domain", name)).collect();
        let domains =
            self.0.owned_domains_since(&mut *snapshot, caller, &customer, &names?, counted.begin()).await?;
        let sources = self.0.figure_sources(&mut *snapshot, &domains).await?;
        let counted = counted.known(&sources)?;
        let Range { start, end } = counted.buckets;
        let mut fluxs = Vec::new();
        if start < end {
            fluxs = flux_sums(&mut *snapshot, &ids(&domains), start..=end - 1).await?;
        }
        Ok(bill_of(&counted, fluxs, query.rule, self.0.settings().timezone))
    }

    /// Span of a month that counts now. Refuses one that has not begun.
    pub(super) fn counted(self, month: Month) -> Result<CountedMonth> {
        let Range { start, end } = month.buckets(self.0.settings().timezone);
        let now = self.0.clock().now().timestamp().div_euclid(BUCKET_SECONDS);
        if start > now {
            return Err(Error::invalid("month", "must have begun"));
        }
        Ok(CountedMonth { buckets: start..end.min(now), is_over: now >= end })
    }
}

/// Part of a month that counts: the buckets that are over.
#[derive(Debug)]
pub(super) struct CountedMonth {
    pub(super) buckets: Range<Bucket>,
    is_over: bool,
}

impl CountedMonth {
    /// Its begin in unix seconds.
    pub(super) fn begin(&self) -> i64 {
        self.buckets.start * BUCKET_SECONDS
    }

    /// Part of it that vendors know. Refuses estimates, and a month that is over and not known to its end.
    pub(super) fn known(mut self, sources: &[FigureSource]) -> Result<Self> {
        for FigureSource { cdn, known_until, is_estimated } in sources {
            if *is_estimated {
                let reason = format!("the figures of {cdn} are estimates, which nobody is billed by");
                return Err(Error::conflict(reason));
            }
            let known = known_until.map_or(self.buckets.start, |until| until.div_euclid(BUCKET_SECONDS));
            if known >= self.buckets.end {
                continue;
            }
            if self.is_over {
                let reason = format!("the figures of {cdn} are not yet known to the end of the month");
                return Err(Error::Unavailable(reason));
            }
            self.buckets.end = known.max(self.buckets.start);
        }
        Ok(self)
    }
}

/// Bill of the bytes of each bucket that counts.
pub(super) fn bill_of(counted: &CountedMonth, fluxs: Vec<i64>, rule: BillingRule, timezone: Tz) -> Bill {
    let CountedMonth { buckets, is_over } = counted;
    let point = |(bucket, flux)| Point { time_stamp: bucket * BUCKET_SECONDS, value: bandwidth(flux) };
    let points = buckets.clone().zip(fluxs).map(point).collect();
    let (bandwidth, points) = billed(points, rule, timezone);
    let (begin, until) = (buckets.start * BUCKET_SECONDS, buckets.end * BUCKET_SECONDS);
    Bill { bandwidth, points, begin, until, is_over: *is_over }
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
    fn september() -> Range<Bucket> {
        "201609".parse::<Month>().unwrap().buckets(ZONE)
    }

    /// The month with these bandwidths at day (from 1) and bucket of the day, 1 where nothing is said.
    fn points(given: &[(i64, i64, i64)]) -> Vec<Point> {
        let mut points: Vec<_> =
            september().map(|bucket| Point { time_stamp: bucket * 300, value: 1 }).collect();
        for (day, slot, value) in given {
            points[usize::try_from((day - 1) * 288 + slot).unwrap()].value = *value;
        }
        points
    }

    fn at(day: i64, slot: i64, value: i64) -> Point {
        Point { time_stamp: (september().start + (day - 1) * 288 + slot) * 300, value }
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
