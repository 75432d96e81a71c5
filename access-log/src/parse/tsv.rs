//! Parser of TAB separated lines, which the shipped edges write.

use super::{ParsedLine, field};

/// Cache of the last line's time, as it was written and in unix seconds: the next line mostly has the same.
#[derive(Debug, Clone, Default)]
pub(super) struct TimeCache {
    last: Option<([u8; 10], i64)>,
}

pub(super) fn parse<'a>(line: &'a [u8], times: &mut TimeCache) -> ParsedLine<'a> {
    let mut fields = Fields { rest: Some(line) };
    let time = fields.time(times);
    let host = fields.next().and_then(field::host);
    let status = fields.status();
    let bytes = fields.bytes();
    let address = fields.next();
    let hit = fields.hit();
    let duration = fields.next();
    // A request is a method and a uri; without either it counts as unreadable.
    let method = fields.next().filter(|method| !method.is_empty() && fields.next_is_filled());
    // Its end is searched where the path is needed.
    let uri = method.and(fields.rest);
    ParsedLine { host, time, method, status, bytes, address, hit, uri, duration }
}

struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(end) = find_tab(rest) else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }

    /// Time of the line. Written with ten digits and milliseconds, as servers write it, it is only compared with the last one.
    #[inline]
    fn time(&mut self, times: &mut TimeCache) -> Option<i64> {
        if let Some(rest) = self.rest
            && let Some((text, rest)) = rest.split_first_chunk::<10>()
            && let [b'.', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'\t', rest @ ..] = rest
        {
            let known = times.last.filter(|(last, _)| last == text).map(|(_, time)| time);
            // Ten bytes that are no number may hold the end of the field.
            if let Some(time) = known.or_else(|| field::integer(text)?.try_into().ok()) {
                self.rest = Some(rest);
                times.last = Some((*text, time));
                return Some(time);
            }
        }
        self.next().and_then(field::seconds)
    }

    #[inline]
    fn status(&mut self) -> Option<u16> {
        if let Some([a, b, c, b'\t', rest @ ..]) = self.rest
            && let Some(status) = field::status(&[*a, *b, *c])
        {
            self.rest = Some(rest);
            return Some(status);
        }
        self.next().and_then(field::status)
    }

    /// Bytes sent. A number of up to seven digits is read with the TAB after it as one word, since its length cannot be foreseen.
    #[inline]
    fn bytes(&mut self) -> Option<u64> {
        if let Some(rest) = self.rest
            && let Some(&word) = rest.first_chunk::<8>()
            && let Some(length @ 1..) = tab_in(word)
            && let Some(value) = number_of(word, length)
        {
            self.rest = Some(&rest[length + 1..]);
            return Some(value);
        }
        self.next().and_then(field::bytes)
    }

    #[inline]
    fn hit(&mut self) -> bool {
        match self.rest {
            Some([b'H', b'I', b'T', b'\t', rest @ ..]) => {
                self.rest = Some(rest);
                true
            }
            Some([b'M', b'I', b'S', b'S', b'\t', rest @ ..]) => {
                self.rest = Some(rest);
                false
            }
            _ => self.next().is_some_and(field::is_hit),
        }
    }

    fn next_is_filled(&self) -> bool {
        self.rest.is_some_and(|rest| !matches!(rest.first(), None | Some(b'\t')))
    }
}

/// Finds the next TAB, eight bytes at a time: the fields before the uri are a few bytes long, too short for a call into a
/// vectorised search to pay.
#[inline]
fn find_tab(text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (index, &word) in words.iter().enumerate() {
        if let Some(position) = tab_in(word) {
            return Some(index * 8 + position);
        }
    }
    tail.iter().position(|&byte| byte == b'\t').map(|position| words.len() * 8 + position)
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Position of the first TAB in a word.
#[inline]
fn tab_in(word: [u8; 8]) -> Option<usize> {
    let difference = u64::from_le_bytes(word) ^ (ONES * u64::from(b'\t'));
    // The lowest marked byte is exact; only bytes above a true match can be marked falsely.
    let marked = difference.wrapping_sub(ONES) & !difference & HIGH;
    (marked != 0).then_some(marked.trailing_zeros() as usize / 8)
}

/// Number that the first `length` bytes of a word are, one to seven; nothing where one of them is no digit.
#[inline]
fn number_of(word: [u8; 8], length: usize) -> Option<u64> {
    // The digits as numbers, the last one in the highest byte, with zeros before the first.
    let digits = (u64::from_le_bytes(word) ^ (ONES * u64::from(b'0'))) << (64 - 8 * length);
    // A byte above nine gets its highest bit, or has it already.
    if (digits | digits.wrapping_add(ONES * 0x76)) & HIGH != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & (u64::MAX / 0xffff * 0xff);
    let fours = (pairs * 100 + (pairs >> 16)) & (u64::MAX / 0xffff_ffff * 0xffff);
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &[u8]) -> ParsedLine<'_> {
        super::parse(line, &mut TimeCache::default())
    }

    #[test]
    fn a_time_is_read_as_a_field_whatever_its_first_bytes_are() {
        for (line, time, host) in [
            (&b"0.1\tMISS\t0.001\tGET\t/"[..], Some(0), &b"MISS"[..]),
            (b"179523794..182\ta.example.com\t200", None, b"a.example.com"),
            (b"179523.495.300\ta.example.com\t20", None, b"a.example.com"),
            (b"1795237945.037\ta.example.com\t20", Some(1_795_237_945), b"a.example.com"),
        ] {
            let read = parse(line);
            assert_eq!((read.time, read.host), (time, Some(host)), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn every_field_is_found() {
        let line = parse(b"1795237559.641\ta.example.com\t200\t330\t127.0.0.1\thit\t0.000046\tGET\t/vv/1?q=1\tmore\tfields");
        assert_eq!(line.host, Some(&b"a.example.com"[..]));
        assert_eq!(line.time, Some(1_795_237_559));
        assert_eq!((line.status, line.bytes, line.hit), (Some(200), Some(330), true));
        assert_eq!((line.address, line.method), (Some(&b"127.0.0.1"[..]), Some(&b"GET"[..])));
        assert_eq!(line.duration, Some(&b"0.000046"[..]));
        assert_eq!(line.path(), Some(&b"/vv/1"[..]));
        for (rest, path) in [("/a", "/a"), ("/a\tb?c", "/a"), ("/a?b\tc", "/a"), ("?a", ""), ("/\t/?", "/")] {
            let line = format!("1\ta\t200\t3\t\t\t\tGET\t{rest}");
            assert_eq!(parse(line.as_bytes()).path(), Some(path.as_bytes()), "{rest}");
        }
    }

    #[test]
    fn a_broken_field_spares_the_others() {
        let line = parse(b"1795237559.641\ta.example.com\txx\t330\t\t\t\tGET\t/");
        assert_eq!((line.status, line.bytes, line.hit), (None, Some(330), false));
        assert!(line.host.is_some() && line.time.is_some() && !line.is_complete());
        let cut = parse(b"1795237559.641\ta.example.com\t200\t330\t127.0.0.1\tHIT\t0.1\tGET");
        assert_eq!((cut.method, cut.hit), (None, true), "no uri, so no request");
        assert_eq!(parse(b"1795237559.641\ta.example.com\t200\t330\t\t\t\tGET\t").method, None);
        assert_eq!(parse(b"1\t-\t200\t3").host, None);
        assert_eq!(parse(b""), ParsedLine { address: None, ..ParsedLine::default() });
    }

    /// Reference parser without the shortcuts for well-formed fields.
    fn parse_plainly(line: &[u8]) -> ParsedLine<'_> {
        let mut fields = line.split(|&byte| byte == b'\t');
        let time = fields.next().and_then(field::seconds);
        let host = fields.next().and_then(field::host);
        let status = fields.next().and_then(field::status);
        let bytes = fields.next().and_then(field::bytes);
        let address = fields.next();
        let hit = fields.next().is_some_and(field::is_hit);
        let duration = fields.next();
        let method = fields.next().filter(|method| !method.is_empty());
        let rest = fields.collect::<Vec<_>>();
        let method = method.filter(|_| rest.first().is_some_and(|uri| !uri.is_empty()));
        let rest = rest.join(&b'\t');
        let uri = method.and_then(|_| line.get(line.len() - rest.len()..));
        ParsedLine { host, time, method, status, bytes, address, hit, uri, duration }
    }

    proptest! {
        #[test]
        fn the_shortcuts_change_nothing(lines in proptest::collection::vec(
            "(179523755[0-9]|[0-9]{9,11}|x)(\\.[0-9]{2,4}|\\.x)?\t[ab]?\t([1-5][0-9]{2}|[0-9a]{2,4})\t(-|[0-9]{0,11}|[0-9]{17,19})(\t(1\\.1\\.1\\.1)?(\t(HIT|-)?(\t(0)?(\tG?(\t/?)?)?)?)?)?",
            1..6,
        )) {
            let mut times = TimeCache::default();
            for line in &lines {
                prop_assert_eq!(super::parse(line.as_bytes(), &mut times), parse_plainly(line.as_bytes()), "{:?}", line);
            }
        }

        #[test]
        fn a_word_is_read_as_its_number(word in any::<[u8; 8]>(), number in 0u32..10_000_000, length in 1usize..8) {
            let text = format!("{number}\t{number:07}");
            let (first, _) = text.as_bytes().split_first_chunk::<8>().unwrap();
            for word in [word, *first] {
                prop_assert_eq!(number_of(word, length), field::integer(&word[..length]), "{:?} {}", word, length);
            }
        }

        #[test]
        fn tabs_are_found_where_they_are(text in proptest::collection::vec(prop_oneof![Just(b'\t'), Just(8), Just(10), Just(0x89), any::<u8>()], 0..40)) {
            prop_assert_eq!(find_tab(&text), text.iter().position(|&byte| byte == b'\t'));
        }
    }
}
