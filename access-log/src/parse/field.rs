//! Parsers of fields that several formats share.

use super::MAX_BYTES;

/// First second of the year 10000, in unix seconds: days are written with four-digit years.
pub(super) const END_OF_TIME: u64 = 253_402_300_800;

/// Integer of decimal digits only; at most 18 of them, which cannot overflow.
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

/// Time written as `seconds`, `seconds.fraction`, milliseconds of 13 digits or in ISO 8601, in unix seconds rounded down.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    if text.len() == 13
        && let Some(milliseconds) = integer(text)
    {
        return i64::try_from(milliseconds / 1000).ok();
    }
    if text.contains(&b'-') {
        return super::date::iso_8601(text);
    }
    let whole = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    if let Some(fraction) = text.get(whole + 1..)
        && !fraction.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let seconds = integer(&text[..whole])?;
    if seconds < END_OF_TIME { i64::try_from(seconds).ok() } else { None }
}

/// Status: three digits, at least 100. Servers write `000` or `-`, here 0, where nothing was answered.
pub(super) fn status(text: &[u8]) -> Option<u16> {
    match *text {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        [b'0', b'0', b'0'] | [b'-'] => Some(0),
        _ => None,
    }
}

/// Size in bytes; servers write `-` for none.
pub(super) fn bytes(text: &[u8]) -> Option<u64> {
    if text == b"-" { Some(0) } else { integer(text).filter(|&bytes| bytes <= MAX_BYTES) }
}

/// Host; nothing where it is empty or `-`.
pub(super) fn host(text: &[u8]) -> Option<&[u8]> {
    if text.is_empty() || text == b"-" { None } else { Some(text) }
}

/// Whether a cache status says hit; nothing for text that is no cache status.
pub(super) fn cache_status(text: &[u8]) -> Option<bool> {
    const OTHERS: [&[u8]; 7] = [b"MISS", b"PASS", b"BYPASS", b"EXPIRED", b"SCARCE", b"HITMISS", b"HITPASS"];
    let is_other = || {
        OTHERS.iter().any(|other| text.eq_ignore_ascii_case(other))
            || text.len() > 5 && text[text.len() - 5..].eq_ignore_ascii_case(b"_MISS")
    };
    if is_hit(text) { Some(true) } else { is_other().then_some(false) }
}

/// Whether the answer came from the cache. nginx names so what it sent while it fetched anew (`UPDATING`), because the
/// origin failed (`STALE`), and after the origin said that it is unchanged (`REVALIDATED`).
pub(super) fn is_hit(cache_status: &[u8]) -> bool {
    const HITS: [&[u8]; 4] = [b"HIT", b"STALE", b"UPDATING", b"REVALIDATED"];
    HITS.iter().any(|hit| cache_status.eq_ignore_ascii_case(hit))
        || cache_status.len() >= 4 && cache_status[cache_status.len() - 4..].eq_ignore_ascii_case(b"_HIT")
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
        assert_eq!(seconds(b"1795237945037"), Some(1_795_237_945));
        assert_eq!(seconds(b"2026-11-28T10:00:00.5+08:00"), Some(1_795_831_200));
        for bad in [
            "2026-11-28",
            "2026-11-28T10:00:00",
            "17952379450370",
            "253402300800",
            "",
            ".5",
            "-1.0",
            "1.x",
            "1.2.3",
            "inf",
            "NaN",
        ] {
            assert_eq!(seconds(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn statuses_are_three_digits() {
        assert_eq!((status(b"100"), status(b"404"), status(b"999")), (Some(100), Some(404), Some(999)));
        assert_eq!((status(b"000"), status(b"-")), (Some(0), Some(0)));
        for bad in ["", "20", "2000", "099", "001", "2x0", "-20", "--"] {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn hits_are_read_in_any_case() {
        for hit in ["HIT", "hit", "Hit", "TCP_MEM_HIT", "tcp_hit", "STALE", "updating", "REVALIDATED"] {
            assert!(is_hit(hit.as_bytes()), "{hit}");
        }
        for miss in ["", "-", "MISS", "HITMISS", "hitpass", "BYPASS", "XHIT"] {
            assert!(!is_hit(miss.as_bytes()), "{miss}");
        }
    }
}
