//! Spread of a long response over the buckets in which it was sent.

use crate::Stamp;
use crate::parse::ParsedLine;
use crate::totals::BUCKET_LENGTH;

/// Longest duration that is believed, in milliseconds (seven days).
const LONGEST: u64 = 7 * 86_400_000;
/// Length of a bucket in milliseconds.
const BUCKET: i64 = BUCKET_LENGTH * 1000;

/// Response that was sent in more than one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    /// Begin and end in unix milliseconds.
    begin: i64,
    end: i64,
    bytes: u64,
}

impl Spread {
    /// Spread of the bytes of a line whose time is in the bucket from `bucket_start` on; nothing if all of them were sent in that
    /// bucket, or if the duration is not known.
    #[inline]
    pub(super) fn of(
        line: &ParsedLine<'_>,
        time: i64,
        bucket_start: i64,
        bytes: u64,
        stamp: Stamp,
    ) -> Option<Self> {
        let duration = line.duration?;
        // Nearly every request takes less than ten seconds, and is not near the end of a bucket.
        if let [_, b'.', ..] = duration {
            let in_bucket = time - bucket_start;
            let is_inside = match stamp {
                Stamp::Begin => in_bucket < BUCKET_LENGTH - 10,
                Stamp::End => in_bucket >= 10,
            };
            if is_inside {
                return None;
            }
        }
        Self::of_duration(milliseconds(duration)?, time, bytes, stamp)
    }

    #[inline(never)]
    fn of_duration(duration: u64, time: i64, bytes: u64, stamp: Stamp) -> Option<Self> {
        if duration == 0 || duration > LONGEST || bytes == 0 {
            return None;
        }
        let (time, duration) = (time * 1000, duration.cast_signed());
        let (begin, end) = match stamp {
            Stamp::Begin => (time, time + duration),
            Stamp::End => (time - duration, time),
        };
        let spread = Self { begin, end, bytes };
        let bucket = time.div_euclid(BUCKET);
        (begin >= 0 && (spread.first() != bucket || spread.last() != bucket)).then_some(spread)
    }

    fn first(&self) -> i64 {
        self.begin.div_euclid(BUCKET)
    }

    /// Last bucket in which bytes were sent: one that begins at the very end is none.
    fn last(&self) -> i64 {
        (self.end - 1).div_euclid(BUCKET)
    }

    /// Begins of the buckets in unix seconds, with the bytes of each: whole ones in proportion to the time, the rest in the last.
    pub(super) fn buckets(self) -> impl Iterator<Item = (i64, u64)> {
        let mut left = self.bytes;
        (self.first()..=self.last()).map(move |bucket| {
            let to = self.end.min((bucket + 1) * BUCKET);
            let time = (to - self.begin.max(bucket * BUCKET)).unsigned_abs();
            let duration = (self.end - self.begin).unsigned_abs();
            let share = u128::from(self.bytes) * u128::from(time) / u128::from(duration);
            let part =
                if bucket == self.last() { left } else { u64::try_from(share).unwrap_or(left).min(left) };
            left -= part;
            (bucket * BUCKET_LENGTH, part)
        })
    }
}

/// Duration written as `seconds` or `seconds.fraction`, in milliseconds rounded down.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || seconds.len() > 12 {
        return None;
    }
    let digits = fraction.bytes().chain([b'0'; 3]).take(3);
    let thousandths = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(seconds.parse::<u64>().ok()? * 1000 + thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(time: i64, duration: &str, bytes: u64, stamp: Stamp) -> Vec<(i64, u64)> {
        let line = ParsedLine { duration: Some(duration.as_bytes()), ..ParsedLine::default() };
        Spread::of(&line, time, time - time.rem_euclid(BUCKET_LENGTH), bytes, stamp)
            .into_iter()
            .flat_map(Spread::buckets)
            .collect()
    }

    #[test]
    fn bytes_are_spread_evenly_and_the_rest_is_in_the_last_bucket() {
        let expected = [(0, 250), (300, 500), (600, 251)];
        assert_eq!(buckets(750, "600.000", 1001, Stamp::End), expected);
        assert_eq!(buckets(150, "600", 1001, Stamp::Begin), expected);
        assert_eq!(buckets(305, "9.5", 100, Stamp::End), [(0, 47), (300, 53)]);
        assert_eq!(buckets(295, "9.5", 100, Stamp::Begin), [(0, 52), (300, 48)]);
        // It ended with its bucket: nothing was sent in the next one.
        assert_eq!(buckets(600, "300.0", 7, Stamp::End), [(300, 7)]);
        let most: u64 = buckets(604_800, "604800", 1 << 50, Stamp::End).iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(most, 1 << 50);
    }

    #[test]
    fn what_was_sent_in_one_bucket_or_in_no_known_time_stays_there() {
        for (time, duration, stamp) in [
            (310, "9.999", Stamp::End),
            (300, "299.9", Stamp::Begin),
            (599, "299.0", Stamp::End),
            (300, "0.000", Stamp::End),
            (300, "-", Stamp::End),
            (300, "", Stamp::End),
            (300, "1.x", Stamp::End),
            (300, "301", Stamp::End),
            (10_000_000, "604801", Stamp::End),
            (300, "99999999999999999999", Stamp::End),
        ] {
            assert_eq!(buckets(time, duration, 100, stamp), [], "{time} {duration}");
        }
        assert_eq!(buckets(450, "300", 0, Stamp::End), []);
    }

    #[test]
    fn durations_are_seconds_with_a_fraction_or_not() {
        for (text, expected) in
            [("0.000046", Some(0)), ("10800.5", Some(10_800_500)), ("7", Some(7000)), ("1.", None)]
        {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
