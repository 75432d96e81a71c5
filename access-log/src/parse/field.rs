//! Fields that several formats share.

use super::MAX_BYTES;

/// The first second of the year 10000: days are written with four-digit years.
pub(super) const END_OF_TIME: u64 = 253_402_300_800;

/// Decimal digits only; at most 18 of them, which cannot overflow.
pub(super) fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// `seconds` or `seconds.fraction`, as unix seconds rounded down.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let whole = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    if let Some(fraction) = text.get(whole + 1..)
        && !fraction.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let seconds = integer(&text[..whole])?;
    if seconds < END_OF_TIME { i64::try_from(seconds).ok() } else { None }
}

/// Three digits, at least 100.
pub(super) fn status(text: &[u8]) -> Option<u16> {
    let &[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = text else { return None };
    Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
}

/// A size in bytes; `-` is what servers write for none.
pub(super) fn bytes(text: &[u8]) -> Option<u64> {
    if text == b"-" { Some(0) } else { integer(text).filter(|&bytes| bytes <= MAX_BYTES) }
}

/// A host that is there.
pub(super) fn host(text: &[u8]) -> Option<&[u8]> {
    if text.is_empty() || text == b"-" { None } else { Some(text) }
}

pub(super) fn is_hit(cache_status: &[u8]) -> bool {
    match cache_status.len() {
        0..=2 => false,
        3 => cache_status.eq_ignore_ascii_case(b"HIT"),
        length => cache_status[length - 4..].eq_ignore_ascii_case(b"_HIT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_limits() {
        assert_eq!(integer(b"999999999999999999"), Some(999_999_999_999_999_999));
        for bad in ["", "1000000000000000000", "18446744073709551616", "-1", "+1", "1e3", " 1", "NaN", "1_0"]
        {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            (bytes(b"-"), bytes(b"0"), bytes(b"1125899906842624")),
            (Some(0), Some(0), Some(MAX_BYTES))
        );
        assert_eq!((bytes(b"1125899906842625"), bytes(b"--"), bytes(b"")), (None, None, None));
    }

    #[test]
    fn times_have_a_fraction_or_not_and_end_with_the_year_9999() {
        assert_eq!(seconds(b"1795237945.037"), Some(1_795_237_945));
        assert_eq!(seconds(b"1795237945"), Some(1_795_237_945));
        assert_eq!(seconds(b"253402300799.999"), Some(253_402_300_799));
        for bad in ["253402300800", "", ".5", "-1.0", "1.x", "1.2.3", "inf", "NaN"] {
            assert_eq!(seconds(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn statuses_are_three_digits() {
        assert_eq!((status(b"100"), status(b"404"), status(b"999")), (Some(100), Some(404), Some(999)));
        for bad in ["", "20", "2000", "000", "099", "2x0", "-20"] {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn hits_are_read_in_any_case() {
        for hit in ["HIT", "hit", "Hit", "TCP_MEM_HIT", "tcp_hit"] {
            assert!(is_hit(hit.as_bytes()), "{hit}");
        }
        for miss in ["", "-", "MISS", "HITMISS", "hitpass", "BYPASS", "XHIT"] {
            assert!(!is_hit(miss.as_bytes()), "{miss}");
        }
    }
}
