//! Days of China, by which vendors there count quotas and write times.

use chrono::{DateTime, Days, FixedOffset, Utc};

/// Offset of China from UTC: eight hours, all year.
#[expect(clippy::expect_used, reason = "eight hours are less than a day")]
pub(crate) fn china() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).expect("eight hours are less than a day")
}

/// Time at which the quotas of a day begin anew: the next midnight of China.
pub(crate) fn next_midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    let tomorrow = now.with_timezone(&china()).date_naive().checked_add_days(Days::new(1));
    let midnight = tomorrow.and_then(|day| day.and_hms_opt(0, 0, 0));
    let midnight = midnight.and_then(|midnight| midnight.and_local_timezone(china()).single());
    midnight.map_or(now, |midnight| midnight.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_of_china() {
        for (now, midnight) in [
            ("2026-07-25T15:59:59Z", "2026-07-25T16:00:00Z"),
            ("2026-07-25T16:00:00Z", "2026-07-26T16:00:00Z"),
        ] {
            assert_eq!(next_midnight(now.parse().unwrap()), midnight.parse::<DateTime<Utc>>().unwrap());
        }
    }
}
