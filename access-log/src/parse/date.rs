//! Date parser of the `combined` formats: `17/May/2015:10:05:03 +0000`.

use chrono::{DateTime, NaiveDate};

/// Length of a date in bytes, without its brackets.
pub(super) const LENGTH: usize = 26;
/// Most bytes of a date in another form: with a fraction of a second, or in ISO 8601.
pub(super) const LONGEST: usize = 40;

/// Date parser that caches the last date and its day: neighbouring lines mostly share them.
#[derive(Debug, Clone, Default)]
pub(super) struct DateParser {
    last: Option<([u8; LENGTH], i64)>,
    day: Option<([u8; 11], i64)>,
    /// Last date in another form.
    other: Option<(Vec<u8>, i64)>,
}

impl DateParser {
    /// Parses a date to unix seconds; nothing if it is no date from 1970 to 9999. A leap second is the second after it.
    pub(super) fn parse(&mut self, text: &[u8; LENGTH]) -> Option<i64> {
        if let Some((last, seconds)) = &self.last
            && last == text
        {
            return Some(*seconds);
        }
        let seconds = self.seconds(text)?;
        self.last = Some((*text, seconds));
        Some(seconds)
    }

    /// Parses a date with a fraction of a second, or in ISO 8601, to unix seconds, rounded down.
    pub(super) fn parse_other(&mut self, text: &[u8]) -> Option<i64> {
        if let Some((last, seconds)) = &self.other
            && last == text
        {
            return Some(*seconds);
        }
        let seconds = self.seconds_before_fraction(text).or_else(|| iso_8601(text))?;
        self.other = Some((text.to_vec(), seconds));
        Some(seconds)
    }

    fn seconds_before_fraction(&mut self, text: &[u8]) -> Option<i64> {
        let (start, rest) = text.split_at_checked(20)?;
        let digits = rest.strip_prefix(b".")?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let plain = [start, &rest[1 + digits..]].concat();
        self.seconds(plain.as_slice().try_into().ok()?)
    }

    fn seconds(&mut self, text: &[u8; LENGTH]) -> Option<i64> {
        let (day, rest) = text.split_first_chunk::<11>()?;
        let &[b':', h1, h2, b':', m1, m2, b':', s1, s2, b' ', sign, zh1, zh2, zm1, zm2] = rest else {
            return None;
        };
        let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
        let (zone_hour, zone_minute) = (two(zh1, zh2)?, two(zm1, zm2)?);
        if hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59 {
            return None;
        }
        let zone = zone_hour * 3600 + zone_minute * 60;
        let zone = match sign {
            b'+' => zone,
            b'-' => -zone,
            _ => return None,
        };
        let seconds = self.midnight(day)? + hour * 3600 + minute * 60 + second - zone;
        (0..super::field::END_OF_TIME.cast_signed()).contains(&seconds).then_some(seconds)
    }

    /// Unix seconds of the beginning of a day in UTC.
    fn midnight(&mut self, text: &[u8; 11]) -> Option<i64> {
        if let Some((last, seconds)) = &self.day
            && last == text
        {
            return Some(*seconds);
        }
        let &[d1, d2, b'/', a, b, c, b'/', y1, y2, y3, y4] = text else { return None };
        let month = match &[a, b, c] {
            b"Jan" => 1,
            b"Feb" => 2,
            b"Mar" => 3,
            b"Apr" => 4,
            b"May" => 5,
            b"Jun" => 6,
            b"Jul" => 7,
            b"Aug" => 8,
            b"Sep" => 9,
            b"Oct" => 10,
            b"Nov" => 11,
            b"Dec" => 12,
            _ => return None,
        };
        let year = i32::try_from(two(y1, y2)? * 100 + two(y3, y4)?).ok()?;
        let date = NaiveDate::from_ymd_opt(year, month, u32::try_from(two(d1, d2)?).ok()?)?;
        let seconds = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
        self.day = Some((*text, seconds));
        Some(seconds)
    }
}

/// Parses a time in ISO 8601 with a zone to unix seconds from 1970 to 9999, rounded down.
pub(super) fn iso_8601(text: &[u8]) -> Option<i64> {
    // Everything else is excluded by one byte.
    if text.len() > LONGEST || text.get(4) != Some(&b'-') {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let time = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()?
        .timestamp();
    (0..super::field::END_OF_TIME.cast_signed()).contains(&time).then_some(time)
}

/// Number of two decimal digits.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<i64> {
        DateParser::default().parse(text.as_bytes().try_into().unwrap())
    }

    #[test]
    fn the_zone_is_subtracted() {
        assert_eq!(parse("17/May/2015:10:05:03 +0000"), Some(1_431_857_103));
        assert_eq!(parse("17/May/2015:18:05:03 +0800"), Some(1_431_857_103));
        assert_eq!(parse("17/May/2015:06:35:03 -0330"), Some(1_431_857_103));
    }

    #[test]
    fn invalid_dates_are_refused() {
        for bad in [
            "99/Foo/2015:10:05:03 +0000",
            "30/Feb/2015:10:05:03 +0000",
            "17/may/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:60:03 +0000",
            "17/May/2015:10:05:61 +0000",
            "17/May/2015 10:05:03 +0000",
            "17/May/2015:10:05:03 *0000",
            "17/May/-015:10:05:03 +0000",
            "31/Dec/1969:23:59:59 +0000",
            "01/Jan/1970:00:00:00 +0100",
            "31/Dec/9999:23:59:59 -0100",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono_and_with_itself(times in proptest::collection::vec((0i64..253_402_200_000, -23 * 60..23 * 60i32), 1..20)) {
            let mut dates = DateParser::default();
            for (time, offset) in times {
                let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
                let date = chrono::DateTime::from_timestamp(time, 0).unwrap().with_timezone(&zone);
                let text = date.format("%d/%b/%Y:%H:%M:%S %z").to_string();
                prop_assume!(text.len() == LENGTH);
                prop_assert_eq!(dates.parse(text.as_bytes().try_into().unwrap()), Some(time), "{}", text);
            }
        }
    }
}
