//! Apache's and nginx's `combined`, alone or after a host.

use super::date::{self, Dates};
use super::{Line, field};
use memchr::{memchr, memrchr};

pub(super) fn parse<'a>(line: &'a [u8], dates: &mut Dates) -> Line<'a> {
    let mut read = Line::default();
    let Some(blank) = memchr(b' ', line) else { return read };
    read.address = Some(&line[..blank]);
    let Some((time, rest)) = find_date(&line[blank..], dates) else { return read };
    read.time = Some(time);
    let Some((request, rest)) = rest.strip_prefix(b" ").and_then(quoted) else { return read };
    read.method = Some(request.split(|&byte| byte == b' ').next().unwrap_or_default());
    let mut words = rest.split(|&byte| byte == b' ');
    // The word before the first blank is what follows the closing quote: nothing.
    if words.next().is_some_and(<[u8]>::is_empty) {
        read.status = words.next().and_then(field::status);
        read.bytes = words.next().and_then(field::bytes);
    }
    read
}

pub(super) fn parse_vhost<'a>(line: &'a [u8], dates: &mut Dates) -> Line<'a> {
    let Some(blank) = memchr(b' ', line) else { return Line::default() };
    let host = field::host(&line[..blank]);
    Line { host, hit: ends_in_hit(line), ..parse(&line[blank + 1..], dates) }
}

/// The first bracketed date, and what follows its bracket. A user name before it may hold brackets itself.
fn find_date<'a>(text: &'a [u8], dates: &mut Dates) -> Option<(i64, &'a [u8])> {
    let mut rest = text;
    while let Some(open) = memchr(b'[', rest) {
        rest = &rest[open + 1..];
        if let Some((date, after)) = rest.split_first_chunk::<{ date::LENGTH }>()
            && after.first() == Some(&b']')
            && let Some(time) = dates.read(date)
        {
            return Some((time, &after[1..]));
        }
    }
    None
}

/// What the quotes that `text` begins with enclose, and what follows. A quote after an odd number of backslashes does not close.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
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

/// Whether a field after the user agent says hit, bare (`"curl" HIT`) or quoted (`"curl" "HIT"`).
fn ends_in_hit(line: &[u8]) -> bool {
    match line.split_last() {
        Some((b'"', rest)) => {
            let Some(quote) = memrchr(b'"', rest) else { return false };
            // A user agent may be called HIT too, so then the quoted fields are counted: request, referrer, agent, status.
            field::is_hit(&rest[quote + 1..]) && quoted_fields(line) == 4
        }
        Some(_) => {
            let Some(blank) = memrchr(b' ', line) else { return false };
            field::is_hit(&line[blank + 1..]) && line[..blank].ends_with(b"\"") && quoted_fields(line) == 3
        }
        None => false,
    }
}

fn quoted_fields(line: &[u8]) -> usize {
    let (mut count, mut rest) = (0, line);
    while let Some(open) = memchr(b'"', rest) {
        let Some((_, after)) = quoted(&rest[open..]) else { break };
        (count, rest) = (count + 1, after);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(line: &str) -> Line<'_> {
        parse(line.as_bytes(), &mut Dates::default())
    }

    fn vhost(line: &str) -> Line<'_> {
        parse_vhost(line.as_bytes(), &mut Dates::default())
    }

    const HEAD: &str = "1.2.3.4 - - [17/May/2015:10:05:03 +0000]";

    #[test]
    fn a_line_is_taken_apart() {
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
        assert_eq!(vhost(""), Line::default());
    }
}
