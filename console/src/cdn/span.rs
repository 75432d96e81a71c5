//! Time that a page shows: a range that ends now, or days or seconds that were chosen.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use pilothouse_core::cdn::StatsStep;
use pilothouse_core::{Error, Result};

use crate::account::midnight;
use crate::form::filled;

/// Time that a page shows, in unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Span {
    /// The span of `day`, `week`, `month`, or `own` from `start` to `end`: days, the last included, or unix seconds.
    pub(crate) fn of(range: &str, start: &str, end: &str, now: DateTime<Utc>, zone: Tz) -> Result<Self> {
        let last = |days| Self { start: (now - TimeDelta::days(days)).timestamp(), end: now.timestamp() };
        match range {
            "" | "day" => Ok(last(1)),
            "week" => Ok(last(7)),
            "month" => Ok(last(30)),
            "own" => {
                let end = match moment("end", end, zone, 1)? {
                    Some(end) => end.min(now.timestamp()),
                    None => now.timestamp(),
                };
                let start = moment("start", start, zone, 0)?.unwrap_or(end - 86_400);
                if start > end {
                    return Err(Error::invalid("end", "must not be before start"));
                }
                Ok(Self { start, end })
            }
            _ => Err(Error::invalid("range", "must be day, week, month or own")),
        }
    }

    /// Step that shows the span in some thousand points at most.
    pub(crate) fn step(self) -> StatsStep {
        match (self.end - self.start) / 86_400 {
            0..=8 => StatsStep::Bucket,
            9..=100 => StatsStep::Hour,
            _ => StatsStep::Day,
        }
    }
}

/// A moment as unix seconds, or as a day: its beginning, or with `days` 1 its end.
fn moment(field: &'static str, text: &str, zone: Tz, days: i64) -> Result<Option<i64>> {
    let Some(text) = filled(text) else { return Ok(None) };
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Some(seconds));
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let wrong = || Error::invalid(field, "must be a day as YYYY-MM-DD, or unix seconds");
    let day = day.ok().and_then(|day| day.checked_add_signed(TimeDelta::days(days))).ok_or_else(wrong)?;
    Ok(Some(midnight(day, zone).timestamp() - days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_of_the_servers_zone_and_the_last_is_included() {
        let now = DateTime::from_timestamp(1_600_000_000, 0).unwrap();
        let of = |range: &str, start: &str, end: &str| Span::of(range, start, end, now, Tz::Asia__Shanghai);
        // 2016-09-13 begins in Shanghai at 1473696000.
        let days = Span { start: 1_473_696_000, end: 1_473_696_000 + 2 * 86_400 - 1 };
        assert_eq!(of("own", "2016-09-13", "2016-09-14").unwrap(), days);
        assert_eq!(of("own", "5", "7").unwrap(), Span { start: 5, end: 7 });
        assert_eq!(of("own", "5", "").unwrap().end, 1_600_000_000);
        assert_eq!(of("week", "", "").unwrap().start, 1_600_000_000 - 7 * 86_400);
        for (range, start, end) in [("year", "", ""), ("own", "x", ""), ("own", "8", "7")] {
            assert!(of(range, start, end).is_err(), "{range} {start} {end}");
        }
        assert_eq!(Span { start: 0, end: 86_400 * 31 }.step(), StatsStep::Hour);
    }
}
