//! Reading of properties files.

use std::borrow::Cow;

use crate::document::{Collector, Document, Entry, Place};
use crate::failure::Result;
use crate::limits::MAX_BYTES;

/// Reads a properties file. One that is not valid UTF-8 is ISO-8859-1, which is what Java writes by default; there, every
/// other character is an escape. The last entry of a key counts, as in Java.
pub fn read(file: &str, bytes: &[u8]) -> Result<Document> {
    let mut collector = Collector::new(file);
    if bytes.len() > MAX_BYTES {
        return Err(collector.at(0).failure(format!("is longer than {} MiB", MAX_BYTES >> 20)));
    }
    let text = decoded(bytes);
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            collector.dropped.at(&collector.at(1), "the byte-order mark");
            rest
        }
        None => &*text,
    };
    for line in parse(file, text)? {
        match line {
            Line::Entry { line, entry } => collector.add(line, entry)?,
            Line::Comment { line, text } => {
                let place = collector.at(line);
                collector.dropped.at(&place, format!("a comment that stands above no key: {text}"));
            }
        }
    }
    Ok(collector.finish())
}

/// The text of a file: UTF-8, else ISO-8859-1.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

/// A logical line that says something.
#[derive(Debug)]
pub(super) enum Line {
    /// Key and value, with the first of its natural lines; the key may be empty, and there before.
    Entry { line: usize, entry: Entry },
    /// The first line of comments that stand above no key.
    Comment { line: usize, text: String },
}

/// The logical lines of a text, as Java reads them from characters.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut comments: Vec<Comment> = Vec::new();
    let mut logical: Option<Logical> = None;
    let mut natural = natural_lines(text).enumerate().peekable();
    while let Some((index, line)) = natural.next() {
        let (number, line) = (index + 1, line.trim_start_matches(BLANKS));
        if logical.as_ref().is_none_or(|logical| logical.text.is_empty()) {
            if line.is_empty() {
                stray(&mut lines, &mut comments);
                continue;
            }
            if let Some(comment) = line.strip_prefix(['#', '!']) {
                comments.push(Comment { line: number, text: comment.strip_prefix(' ').unwrap_or(comment) });
                continue;
            }
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        let goes_on = backslashes % 2 == 1;
        let line = if goes_on { &line[..line.len() - 1] } else { line };
        let mut current = logical.take().unwrap_or(Logical { line: number, text: String::new() });
        current.text.push_str(line);
        if goes_on && natural.peek().is_some() {
            logical = Some(current);
        } else {
            lines.push(entry(file, current, &mut comments)?);
        }
    }
    stray(&mut lines, &mut comments);
    Ok(lines)
}

/// Characters that Java takes for blank.
const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// A comment line, without its mark.
struct Comment<'t> {
    line: usize,
    text: &'t str,
}

/// Natural lines that are one, so far.
struct Logical {
    line: usize,
    text: String,
}

/// The lines of a text that end with LF, CR or CRLF; none after the last end.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else { return Some(std::mem::take(&mut rest)) };
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
        Some(line)
    })
}

/// Comments that stand above no key.
fn stray(lines: &mut Vec<Line>, comments: &mut Vec<Comment<'_>>) {
    if let Some(first) = comments.first() {
        lines.push(Line::Comment { line: first.line, text: first.text.chars().take(80).collect() });
        comments.clear();
    }
}

fn entry(file: &str, logical: Logical, comments: &mut Vec<Comment<'_>>) -> Result<Line> {
    let Logical { line, text } = logical;
    let place = Place { file, line };
    let (key, value) = split(&text);
    let (key, value) = (unescaped(&place, key)?, unescaped(&place, value)?);
    let description = comments.drain(..).map(|comment| comment.text).collect::<Vec<_>>().join("\n");
    Ok(Line::Entry { line, entry: Entry { key, value, description } })
}

/// Splits a logical line at the first separator that is not escaped: blanks, with at most one `=` or `:` among them.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c| {
        let ends = !is_escaped && (matches!(c, '=' | ':') || BLANKS.contains(&c));
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let Some(end) = end else { return (line, "") };
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(BLANKS))
}

/// A key or value without its escapes.
fn unescaped(place: &Place<'_>, text: &str) -> Result<String> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    // In UTF-16, because an escape is one unit of it.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        let plain = match chars.next() {
            Some('u') => {
                let digits =
                    chars.as_str().get(..4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                units
                    .push(unit.ok_or_else(|| place.failure("\\u must be followed by 4 hexadecimal digits"))?);
                chars.nth(3);
                continue;
            }
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\u{c}',
            Some(c) => c,
            // A backslash that would continue the last line of the file.
            None => continue,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units)
        .map_err(|_| place.failure("\\u stands for half a character, whose other half is missing"))
}
