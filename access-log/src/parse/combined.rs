//! Parser of Apache's and nginx's `combined`, alone or after a host.

use super::date::{self, DateParser};
use super::{ParsedLine, field};
use memchr::memchr;

pub(super) fn parse<'a>(line: &'a [u8], dates: &mut DateParser) -> ParsedLine<'a> {
    parse_fields(line, dates).0
}

pub(super) fn parse_vhost<'a>(line: &'a [u8], dates: &mut DateParser) -> ParsedLine<'a> {
    let Some(blank) = memchr(b' ', line) else { return ParsedLine::default() };
    let host = field::host(&line[..blank]);
    let (read, rest) = parse_fields(&line[blank + 1..], dates);
    ParsedLine { host, hit: is_hit_after_agent(rest), ..read }
}

/// Parses the fields up to the bytes, and returns the text after the request with them.
fn parse_fields<'a>(line: &'a [u8], dates: &mut DateParser) -> (ParsedLine<'a>, &'a [u8]) {
    let mut read = ParsedLine::default();
    // A list of addresses that a proxy adds may be missing, which servers write as a dash.
    let line = line.strip_prefix(b"\"-\" ").unwrap_or(line);
    let Some(blank) = memchr(b' ', line) else { return (read, &[]) };
    read.address = Some(&line[..blank]);
    let Some((time, rest)) = find_date(&line[blank..], dates) else { return (read, &[]) };
    read.time = Some(time);
    // Other fields may come before the request, but only after a blank.
    let quote = if rest.starts_with(b" ") { memchr(b'"', rest) } else { None };
    let Some((request, rest)) = quote.and_then(|quote| request(&rest[quote..])) else { return (read, &[]) };
    let mut parts = request.split(|&byte| byte == b' ');
    read.method = Some(parts.next().unwrap_or_default());
    read.uri = parts.next();
    let mut words = rest.split(|&byte| byte == b' ');
    // The word before the first blank follows the closing quote directly, so it must be empty.
    if words.next().is_some_and(<[u8]>::is_empty) {
        read.status = words.next().and_then(field::status);
        read.bytes = words.next().and_then(field::bytes);
    }
    (read, rest)
}

/// Finds the first bracketed date, and returns it with the text after its bracket. A user name before it may hold brackets
/// itself.
fn find_date<'a>(text: &'a [u8], dates: &mut DateParser) -> Option<(i64, &'a [u8])> {
    let mut rest = text;
    while let Some(open) = memchr(b'[', rest) {
        rest = &rest[open + 1..];
        if let Some((date, after)) = rest.split_first_chunk::<{ date::LENGTH }>()
            && after.first() == Some(&b']')
            && let Some(time) = dates.parse(date)
        {
            return Some((time, &after[1..]));
        }
        let near = &rest[..rest.len().min(date::LONGEST + 1)];
        if let Some(close) = memchr(b']', near)
            && let Some(time) = dates.parse_other(&near[..close])
        {
            return Some((time, &rest[close + 1..]));
        }
    }
    None
}

/// Splits `text`, which begins with a quote, into the quoted request and the rest. Some servers write quotes of visitors as
/// they are, so the request ends with the first quote that a status follows; without any, with the first.
fn request(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = quoted(text)?;
    let mut found = first;
    while !begins_with_status(found.1) {
        let Some((_, rest)) = until_quote(found.1) else { return Some(first) };
        let length = text.len() - 1 - rest.len() - 1;
        found = (&text[1..=length], rest);
    }
    Some(found)
}

/// Whether `text` begins with a blank, a status, and a blank or its end.
fn begins_with_status(text: &[u8]) -> bool {
    let Some(text) = text.strip_prefix(b" ") else { return false };
    let end = text.iter().take(4).position(|&byte| byte == b' ').unwrap_or(text.len());
    text.get(..end).is_some_and(|word| field::status(word).is_some())
}

/// Splits `text`, which begins with a quote, into the quoted text and the rest.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    until_quote(text.strip_prefix(b"\"")?)
}

/// Splits `text` at the next quote. One after an odd number of backslashes is part of the text.
fn until_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let quote = from + memchr(b'"', &text[from..])?;
        let backslashes = text[..quote].iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some((&text[..quote], &text[quote + 1..]));
        }
        from = quote + 1;
    }
}

/// Whether a field after the user agent is the cache status and says hit, where `text` is what follows the request. The field
/// may be bare (`HIT`), quoted (`"HIT"`) or named (`cache=HIT`, `cache="HIT"`), among others.
fn is_hit_after_agent(text: &[u8]) -> bool {
    let mut rest = text;
    // Referrer and agent are the next quoted fields.
    for _ in 0..2 {
        let Some((_, after)) = memchr(b'"', rest).and_then(|open| quoted(&rest[open..])) else {
            return false;
        };
        rest = after;
    }
    while let Some((word, after)) = next_word(rest) {
        if let Some(is_hit) = field::cache_status(value(word)) {
            return is_hit;
        }
        rest = after;
    }
    false
}

/// Splits off the next word. Blanks between quotes are part of it.
fn next_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    let (text, mut end) = (&text[blanks..], 0);
    loop {
        match text[end..].iter().position(|byte| matches!(byte, b' ' | b'"')) {
            Some(at) if text[end + at] == b'"' => {
                let quote = end + at;
                let (_, after) = quoted(&text[quote..])?;
                end = text.len() - after.len();
            }
            Some(at) => return Some(text.split_at(end + at)),
            None if text.is_empty() => return None,
            None => return Some((text, &[])),
        }
    }
}

/// Value of a word without its name and quotes.
fn value(word: &[u8]) -> &[u8] {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let value = match memchr(b'=', word) {
        Some(equals) if word[..equals].iter().all(is_name) => &word[equals + 1..],
        _ => word,
    };
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(line: &str) -> ParsedLine<'_> {
        parse(line.as_bytes(), &mut DateParser::default())
    }

    fn vhost(line: &str) -> ParsedLine<'_> {
        parse_vhost(line.as_bytes(), &mut DateParser::default())
    }

    const HEAD: &str = "1.2.3.4 - - [17/May/2015:10:05:03 +0000]";

    #[test]
    fn a_line_is_parsed() {
        let line = combined(
            r#"83.149.9.216 - bob [17/May/2015:10:05:03 +0000] "GET /a b HTTP/1.1" 200 203023 "-" "Mozilla/5.0 (X)""#,
        );
        assert_eq!((line.time, line.status, line.bytes), (Some(1_431_857_103), Some(200), Some(203_023)));
        assert_eq!((line.method, line.address), (Some(&b"GET"[..]), Some(&b"83.149.9.216"[..])));
        assert_eq!((line.host, line.hit), (None, false));
    }

    #[test]
    fn the_tail_may_be_broken_or_missing() {
        for tail in ["", " ", " \"", r#" "-" "Mozilla (unterminated"#, r#" "-" "a"b"c""#, " \u{0} garbage"] {
            let text = format!("{HEAD} \"GET / HTTP/1.1\" 304 -{tail}");
            let line = combined(&text);
            assert_eq!((line.status, line.bytes, line.is_complete()), (Some(304), Some(0), true), "{tail:?}");
        }
    }

    #[test]
    fn brackets_and_quotes_of_visitors_do_not_move_the_fields() {
        let line = combined(
            r#"1.2.3.4 - [x [17/May/2015:10:05:03 +0000] "GET /\" 200 999999 HTTP/1.1" 404 12 "-" "-""#,
        );
        assert_eq!((line.time, line.status, line.bytes), (Some(1_431_857_103), Some(404), Some(12)));
        let line = combined(r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /\\" 404 12 "-" "-""#);
        assert_eq!((line.status, line.bytes), (Some(404), Some(12)));
    }

    #[test]
    fn dates_and_requests_of_other_servers_are_read() {
        let read = |date: &str, rest: &str| {
            let text = format!("1.2.3.4 - - [{date}] {rest} 404 215 \"-\" \"-\"");
            let line = combined(&text);
            (line.time, line.status, line.bytes, line.method.map(<[u8]>::to_vec))
        };
        let expected = (Some(1_795_831_200), Some(404), Some(215), Some(b"GET".to_vec()));
        for date in [
            "28/Nov/2026:10:00:00 +0800",
            "28/Nov/2026:10:00:00.123 +0800",
            "28/Nov/2026:10:00:00.123456 +0800",
            "2026-11-28T10:00:00+08:00",
            "2026-11-28T10:00:00.123+0800",
            "2026-11-28T02:00:00Z",
            "2026-11-28 02:00:00.5Z",
        ] {
            assert_eq!(read(date, "\"GET / HTTP/1.1\""), expected, "{date}");
        }
        for rest in ["\"GET /\"foo\".html HTTP/1.0\"", "(0 s) \"GET / HTTP/1.1\"", "\"GET /\" \"x\"\""] {
            assert_eq!(read("28/Nov/2026:10:00:00 +0800", rest), expected, "{rest}");
        }
        for bad in [
            "28/Nov/2026:10:00:00. +0800",
            "2026-11-28T10:00:00",
            "2026-13-28T10:00:00Z",
            "1969-12-31T00:00:00Z",
        ] {
            assert_eq!(read(bad, "\"GET /\"").0, None, "{bad}");
        }
        let line = combined(&format!("{HEAD} \"GET / HTTP/1.1\" 000 0")).is_complete();
        assert!(line && !combined(&format!("{HEAD} \"GET / HTTP/1.1\" 099 0")).is_complete());
    }

    #[test]
    fn a_list_of_addresses_may_come_first() {
        for (first, address) in [
            ("1.2.3.4, 10.0.0.1", "1.2.3.4,"),
            ("\"1.2.3.4, 10.0.0.1\" 10.0.0.1", "\"1.2.3.4,"),
            ("\"-\" 1.2.3.4", "1.2.3.4"),
        ] {
            let text = HEAD.replace("1.2.3.4", first) + " \"GET / HTTP/1.1\" 200 5";
            let line = combined(&text);
            assert_eq!((line.address, line.is_complete()), (Some(address.as_bytes()), true), "{first}");
        }
    }

    #[test]
    fn without_request_status_or_bytes_only_the_time_is_read() {
        for tail in [
            "",
            " \"GET / HTTP/1.1 200 5",
            " \"GET /\"200 5",
            " \"GET /\" x 5",
            " \"GET /\" 200 99999999999999999999",
            " \"GET /\" 200",
        ] {
            let text = format!("{HEAD}{tail}");
            let line = combined(&text);
            assert!(line.time.is_some() && !line.is_complete(), "{tail:?}");
        }
    }

    #[test]
    fn a_host_comes_first_and_perhaps_a_cache_status_last() {
        let text = |tail: &str| format!("A.example.com:443 {HEAD} \"GET / HTTP/1.1\" 200 5 {tail}");
        for (tail, hit) in [
            (r#""-" "curl""#, false),
            (r#""-" "curl" HIT"#, true),
            (r#""-" "curl" hit"#, true),
            (r#""-" "curl" "Hit""#, true),
            (r#""-" "curl" TCP_MEM_HIT"#, true),
            (r#""-" "curl" HIT 0.001"#, true),
            (r#""-" "curl" 0.001 "HIT" x"#, true),
            (r#""-" "curl" xff="-" cache=HIT rt=0.001"#, true),
            (r#""-" "curl" cache="HIT""#, true),
            (r#""-" "curl" cache=MISS "HIT""#, false),
            (r#""-" "curl" xff="HIT x""#, false),
            (r#""-" "curl" "a HIT b" a?=HIT"#, false),
            (r#""-" "curl" MISS"#, false),
            (r#""-" "curl" -"#, false),
            (r#""-" "HIT""#, false),
            (r#""-" "my \" HIT"#, false),
        ] {
            let text = text(tail);
            let line = vhost(&text);
            assert_eq!(
                (line.hit, line.host, line.bytes),
                (hit, Some(&b"A.example.com:443"[..]), Some(5)),
                "{tail}"
            );
        }
        assert_eq!(vhost(&format!("- {HEAD}")).host, None);
        assert_eq!(vhost(""), ParsedLine::default());
    }
}
