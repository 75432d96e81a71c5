//! Names that rotation gives to a log.

/// Endings of compressed files that cannot be read.
const UNSUPPORTED: [&str; 7] = ["xz", "zst", "bz2", "lz4", "lzma", "Z", "zip"];

/// Compression of a rotated file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::follow) enum Packing {
    None,
    Gzip,
    /// Compressed in another way, which cannot be read.
    Unsupported,
}

/// Name of a rotated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RotatedName {
    pub(super) packing: Packing,
    /// Order among files written at the same time: less is newer. It is the number, or minus the date.
    pub(super) age: i64,
}

impl RotatedName {
    /// Parses `other` as a name that rotation gives to the log `name`.
    pub(super) fn parse(name: &str, other: &str) -> Option<Self> {
        let (plain, packing) = match other.rsplit_once('.') {
            Some((plain, "gz")) => (plain, Packing::Gzip),
            Some((plain, ending)) if UNSUPPORTED.contains(&ending) => (plain, Packing::Unsupported),
            _ => (other, Packing::None),
        };
        let age = age_at_end(name, plain, packing).or_else(|| age_before_ending(name, plain))?;
        Some(Self { packing, age })
    }
}

/// Age by a mark after the name, as in `log.1`, `log-20261121` or `log.old`, or of the name itself where it is compressed.
fn age_at_end(name: &str, other: &str, packing: Packing) -> Option<i64> {
    let mark = other.strip_prefix(name)?;
    match mark {
        "" if packing == Packing::None => None,
        "" | ".old" => Some(0),
        _ if is_time(mark) => Some(-number(mark)),
        _ if is_number(mark) => Some(number(mark)),
        _ => None,
    }
}

/// Age by a mark before the ending of the name, as in `access-20261121.log`. A plain number there may be a port or the number
/// of another edge, so it must be a date or time.
fn age_before_ending(name: &str, other: &str) -> Option<i64> {
    let (stem, ending) = name.rsplit_once('.')?;
    let mark = other.strip_prefix(stem)?.strip_suffix(ending)?.strip_suffix('.')?;
    is_time(mark).then(|| -number(mark))
}

fn is_number(mark: &str) -> bool {
    mark.starts_with(['.', '-', '_'])
        && mark.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'))
        && mark.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether a mark looks like a month, a date or a time: `-202611`, `-20261121`, `.2026-11-21`, `-2026112115`,
/// `-2026-11-21T15-04-05.000` or, in unix seconds or milliseconds, `.1795219200`.
fn is_time(mark: &str) -> bool {
    let is_mark =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_' | b'T' | b'Z' | b':' | b'+');
    let digits: Vec<i64> = digits(mark).collect();
    if !mark.starts_with(['.', '-', '_']) || !mark.bytes().all(is_mark) {
        return false;
    }
    let of =
        |range: std::ops::Range<usize>| digits[range].iter().fold(0, |number, digit| number * 10 + digit);
    let is_month = || (1970..2200).contains(&of(0..4)) && (1..=12).contains(&of(4..6));
    let is_date = || is_month() && (1..=31).contains(&of(6..8));
    match digits.len() {
        6 => is_month(),
        8 | 12 | 14 | 17 => is_date(),
        10 => is_date() || of(0..10) >= 1_000_000_000,
        13 => of(0..13) >= 1_000_000_000_000,
        _ => false,
    }
}

fn digits(mark: &str) -> impl Iterator<Item = i64> {
    mark.bytes().filter(u8::is_ascii_digit).map(|digit| i64::from(digit - b'0'))
}

/// Number that the digits of a mark are; the first 17 of them.
fn number(mark: &str) -> i64 {
    digits(mark).take(17).fold(0, |number, digit| number * 10 + digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files() {
        for (other, packing, age) in [
            ("a.log.1", Packing::None, 1),
            ("a.log.0", Packing::None, 0),
            ("a.log.2.gz", Packing::Gzip, 2),
            ("a.log.gz", Packing::Gzip, 0),
            ("a.log.old", Packing::None, 0),
            ("a.log.old.gz", Packing::Gzip, 0),
            ("a.log.1.xz", Packing::Unsupported, 1),
            ("a.log.zst", Packing::Unsupported, 0),
            ("a.log-20261121", Packing::None, -20_261_121),
            ("a.log-20261121.gz", Packing::Gzip, -20_261_121),
            ("a.log-1795219200", Packing::None, -1_795_219_200),
            ("a-20261121.log", Packing::None, -20_261_121),
            ("a-2026-11-21.log.bz2", Packing::Unsupported, -20_261_121),
            ("a.202611.log", Packing::None, -202_611),
            ("a_2026112115.log", Packing::None, -2_026_112_115),
            ("a-2026-11-21T15-04-05.000.log", Packing::None, -20_261_121_150_405_000),
            ("a.1795219200.log", Packing::None, -1_795_219_200),
        ] {
            assert_eq!(RotatedName::parse("a.log", other), Some(RotatedName { packing, age }), "{other}");
        }
    }

    #[test]
    fn names_of_other_files() {
        for other in [
            "a.log",
            "b.log.1",
            "a.log.bak",
            "a.log1",
            "a.log.",
            "a-b.log",
            "a.tsv.1",
            "a.log.1x",
            "a-2.log",
            "a-443.log",
            "a.1.log.gz",
            "a-20261321.log",
            "a-99999999.log",
            "a-.log",
            "a.log.gz.gz",
            "a-2.log.1",
        ] {
            assert_eq!(RotatedName::parse("a.log", other), None, "{other}");
        }
        assert_eq!(RotatedName::parse("a", "a"), None);
    }
}
