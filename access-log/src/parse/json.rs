//! Parser of one flat JSON object a line. Only the needed members are read; the others, nested values too, are skipped.

use super::{ParsedLine, field};
use memchr::{memchr, memchr2};

/// Value of a member as written, without quotes.
#[derive(Clone, Copy)]
enum Value<'a> {
    /// String without escapes.
    Text(&'a [u8]),
    /// String with escapes. No host, method or number needs one, so such a value is never decoded.
    Escaped,
    /// Number, `null`, `true` or `false`.
    Bare(&'a [u8]),
    /// Object or array.
    Nested,
}

impl<'a> Value<'a> {
    fn text(self) -> Option<&'a [u8]> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Integer, which some writers give a fraction of zeros.
    fn integer(self) -> Option<&'a [u8]> {
        let text = self.number()?;
        let Some(point) = memchr(b'.', text) else { return Some(text) };
        let is_whole = text.len() > point + 1 && text[point + 1..].iter().all(|&digit| digit == b'0');
        is_whole.then_some(&text[..point])
    }

    /// Number, bare or quoted, since servers differ in how they write it.
    fn number(self) -> Option<&'a [u8]> {
        if let Self::Text(text) | Self::Bare(text) = self { Some(text) } else { None }
    }
}

/// Parses a line. A member given twice counts as given last. Members before a syntax error still stand.
pub(super) fn parse(line: &[u8]) -> ParsedLine<'_> {
    let mut read = ParsedLine::default();
    let (mut method, mut has_uri) = (None, false);
    let mut members = Members { rest: line.trim_ascii_start().strip_prefix(b"{").unwrap_or_default() };
    while let Some((name, value)) = members.next() {
        match name {
            b"t" => read.time = value.number().and_then(field::seconds),
            b"h" => read.host = value.text().and_then(field::host),
            b"s" => read.status = value.integer().and_then(field::status),
            b"b" => read.bytes = value.integer().and_then(field::bytes),
            b"ip" => read.address = value.text(),
            b"c" => read.hit = value.text().is_some_and(field::is_hit),
            b"rt" => read.duration = value.number(),
            b"m" => method = value.text().filter(|method| !method.is_empty()),
            b"u" => {
                read.uri = value.text().filter(|uri| !uri.is_empty());
                has_uri = matches!(value, Value::Escaped) || read.uri.is_some();
            }
            _ => {}
        }
    }
    read.method = method.filter(|_| has_uri);
    read
}

struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Members<'a> {
    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        self.skip_blanks();
        let name = match self.string()? {
            Value::Text(name) => name,
            _ => b"",
        };
        self.skip_blanks();
        self.rest = self.rest.strip_prefix(b":")?;
        self.skip_blanks();
        let value = self.value()?;
        self.skip_blanks();
        self.rest = match self.rest.split_first() {
            Some((b',', rest)) => rest,
            _ => &[],
        };
        Some((name, value))
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            _ => {
                let end = self.rest.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'\t'));
                let (value, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Some(Value::Bare(value))
            }
        }
    }

    /// Takes the string that `rest` begins with; nothing if it begins otherwise or has no end.
    fn string(&mut self) -> Option<Value<'a>> {
        let text = self.rest.strip_prefix(b"\"")?;
        let (mut from, mut escaped) = (0, false);
        loop {
            let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
            if text[at] == b'"' {
                self.rest = &text[at + 1..];
                return Some(if escaped { Value::Escaped } else { Value::Text(&text[..at]) });
            }
            (from, escaped) = (at + 2, true);
        }
    }

    /// Skips an object or array; brackets in strings do not count. Depth is a number, so that it cannot exhaust the stack.
    fn nested(&mut self) -> Option<Value<'a>> {
        let mut depth = 0_usize;
        loop {
            match self.rest.first()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(Value::Nested);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_any_order_among_others() {
        let line = parse(
            br#" { "x":[{"t":1,"]":"}\""}], "u":"/a\"b","m":"GET" ,"c":"HIT","ip":"1.2.3.4","b":"17","s":200,"h":"a.example.com","t":1795237945.037,"rt":0.1}"#,
        );
        assert_eq!((line.time, line.host), (Some(1_795_237_945), Some(&b"a.example.com"[..])));
        assert_eq!((line.status, line.bytes, line.hit), (Some(200), Some(17), true));
        assert_eq!((line.method, line.address), (Some(&b"GET"[..]), Some(&b"1.2.3.4"[..])));
        assert_eq!(line.duration, Some(&b"0.1"[..]));
    }

    #[test]
    fn the_last_of_two_counts_and_dash_is_zero() {
        let line = parse(br#"{"b":5,"b":"-","s":200,"s":404}"#);
        assert_eq!((line.bytes, line.status), (Some(0), Some(404)));
        let line = parse(br#"{"b":1000.0,"s":200.00,"t":"2026-11-28T10:00:00+08:00"}"#);
        assert_eq!((line.bytes, line.status, line.time), (Some(1000), Some(200), Some(1_795_831_200)));
        assert_eq!(parse(br#"{"b":1000.,"s":.0}"#), ParsedLine::default());
    }

    #[test]
    fn members_before_a_syntax_error_are_read() {
        let line = parse(br#"{"t":1795237945.037,"h":"a.example.com","s":200,"b":5,"m":"GET","u":"/x"#);
        assert!(line.host.is_some() && line.time.is_some() && line.bytes == Some(5) && line.method.is_none());
        let line = parse(br#"{"t":1795237945.037,"h":"a.example.com" "s":200}"#);
        assert_eq!((line.time, line.status), (Some(1_795_237_945), None));
    }

    #[test]
    fn values_of_a_wrong_type_are_not_read() {
        for line in [
            r#"{"t":-1,"h":null,"s":true,"b":1.5}"#,
            r#"{"t":NaN,"h":["a"],"s":{"a":1},"b":-5}"#,
            r#"{"t":1e400,"h":"a\u002eb","s":"2x0","b":99999999999999999999}"#,
            "[1,2]",
            "",
            "{",
            "{\"",
            "{\"t",
            "{\"t\"",
            "{\"t\":",
            "{\"t\":\"\\",
            "null",
            "{{{{",
            "{\"x\":[[[[",
        ] {
            assert_eq!(parse(line.as_bytes()), ParsedLine::default(), "{line}");
        }
    }
}
