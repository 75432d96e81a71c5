//! Reference implementation: the same counts, as slowly and plainly as they can be written.

use std::collections::BTreeMap;

use chrono::DateTime;
use pilothouse_access_log::{DomainNumber, Format, LineCounts};

use crate::support::{A, B, Traffic};

/// Fields of a line; nothing where one cannot be read.
#[derive(Default)]
struct Fields {
    host: Option<String>,
    time: Option<i64>,
    method: Option<String>,
    status: Option<usize>,
    bytes: Option<i64>,
    hit: bool,
    /// Milliseconds from the first byte of the answer to its last.
    duration: i64,
}

/// Traffic and counts of a log with the domains of the tests.
pub(crate) fn count(format: Format, content: &[u8]) -> (BTreeMap<(DomainNumber, i64), Traffic>, LineCounts) {
    let (mut traffic, mut counts) = (BTreeMap::<_, Traffic>::new(), LineCounts::default());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        // A byte a character, so that no byte is lost.
        let line: String = line.iter().filter(|byte| **byte != b'\n').map(|byte| char::from(*byte)).collect();
        let line = line.strip_suffix('\r').unwrap_or(&line);
        // One byte a character: this is the byte-order mark.
        let mut line = line;
        while let Some(rest) = line.strip_prefix('\0').or_else(|| line.strip_prefix("\u{ef}\u{bb}\u{bf}")) {
            line = rest;
        }
        let fields = match format {
            Format::Tsv => tsv(line),
            Format::Combined => combined(line),
            Format::VhostCombined => vhost(line),
            Format::Json | Format::Verbatim => unreachable!("{format} is not counted here"),
        };
        counts.lines += 1;
        let domain = match &fields.host {
            Some(host) => domain(host),
            None if format == Format::Combined => Some(A),
            None => None,
        };
        let has_host = fields.host.is_some() || format == Format::Combined;
        let (Some(time), true) = (fields.time, has_host) else {
            counts.unreadable += 1;
            continue;
        };
        let Some(domain) = domain else {
            counts.unregistered += 1;
            continue;
        };
        counts.kept += 1;
        let is_refused = fields.status.is_some_and(|status| status >= 400 && status != 404);
        if fields.method.as_deref() == Some("PURGE") && !is_refused {
            counts.purges += 1;
        } else if let (Some(_), Some(status), Some(bytes)) = (fields.method, fields.status, fields.bytes) {
            counts.billed += 1;
            for (bucket, bytes) in spread(time, fields.duration, bytes) {
                let sum = traffic.entry((domain, bucket)).or_default();
                sum.flux += bytes;
                sum.hit_flux += if fields.hit { bytes } else { 0 };
            }
            let sum = traffic.entry((domain, time / 300 * 300)).or_default();
            sum.requests += 1;
            sum.hits += i64::from(fields.hit);
            if (200..600).contains(&status) {
                sum.classes[status / 100 - 2] += 1;
            }
        } else {
            counts.unreadable += 1;
        }
    }
    (traffic, counts)
}

/// Buckets of an answer that ended at `time`: each has the bytes of its share of the duration, the last one the rest.
fn spread(time: i64, duration: i64, bytes: i64) -> Vec<(i64, i64)> {
    let (begin, end) = (time * 1000 - duration, time * 1000);
    if duration == 0 || duration > 7 * 86_400_000 || begin < 0 {
        return vec![(time / 300 * 300, bytes)];
    }
    let (first, last) = (begin / 300_000, (end - 1) / 300_000);
    let mut buckets = Vec::new();
    let mut left = bytes;
    for bucket in first..last {
        let sent = (bucket + 1) * 300_000 - begin.max(bucket * 300_000);
        let part = i128::from(bytes) * i128::from(sent) / i128::from(duration);
        let part = i64::try_from(part).unwrap();
        buckets.push((bucket * 300, part));
        left -= part;
    }
    buckets.push((last * 300, left));
    buckets
}

/// Milliseconds of a duration in seconds, rounded down.
fn duration(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    number(fraction.get(..18).unwrap_or(fraction))?;
    let seconds = number(seconds).filter(|_| seconds.len() <= 12)?;
    fraction.chars().all(|char| char.is_ascii_digit()).then_some(())?;
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(seconds * 1000 + number(&thousandths)?)
}

fn domain(host: &str) -> Option<DomainNumber> {
    let host = host.split(':').next().unwrap();
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match host.as_str() {
        "a.example.com" => Some(A),
        "b.example.com" => Some(B),
        _ => None,
    }
}

fn number(text: &str) -> Option<i64> {
    let digits = (1..=18).contains(&text.len()) && text.chars().all(|char| char.is_ascii_digit());
    digits.then(|| text.parse().unwrap())
}

fn host(text: &str) -> Option<String> {
    (!text.is_empty() && text != "-").then(|| text.to_owned())
}

fn status(text: &str) -> Option<usize> {
    if text == "000" || text == "-" {
        return Some(0);
    }
    let status = number(text).filter(|status| text.len() == 3 && *status >= 100)?;
    usize::try_from(status).ok()
}

fn bytes(text: &str) -> Option<i64> {
    if text == "-" { Some(0) } else { number(text).filter(|bytes| *bytes <= 1 << 50) }
}

fn is_hit(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    matches!(&*text, "HIT" | "STALE" | "UPDATING" | "REVALIDATED") || text.ends_with("_HIT")
}

fn tsv(line: &str) -> Fields {
    let fields: Vec<_> = line.split('\t').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    let (seconds, fraction) = field(0).split_once('.').unwrap_or((field(0), ""));
    let time = number(seconds).filter(|time| *time < 253_402_300_800);
    let time = time.filter(|_| fraction.chars().all(|char| char.is_ascii_digit()));
    let milliseconds = number(field(0)).filter(|_| field(0).len() == 13);
    Fields {
        host: host(field(1)),
        time: milliseconds.map(|time| time / 1000).or(time).or_else(|| iso_date(field(0))),
        method: (!field(7).is_empty() && !field(8).is_empty()).then(|| field(7).to_owned()),
        status: status(field(2)),
        bytes: bytes(field(3)),
        hit: is_hit(field(5)),
        duration: duration(field(6)).unwrap_or(0),
    }
}

fn combined(line: &str) -> Fields {
    let mut fields = Fields::default();
    let line = line.strip_prefix("\"-\" ").unwrap_or(line);
    let Some((_, rest)) = line.split_once(' ') else { return fields };
    let mut dates = rest.match_indices('[').filter_map(|(open, _)| {
        let (text, rest) = rest[open + 1..].split_once(']')?;
        Some((date(text)?, rest))
    });
    let Some((time, rest)) = dates.next() else { return fields };
    fields.time = Some(time);
    let Some((request, rest)) = request(rest) else { return fields };
    fields.method = Some(request.split(' ').next().unwrap().to_owned());
    let words: Vec<_> = rest.split(' ').collect();
    if words[0].is_empty() {
        fields.status = words.get(1).and_then(|text| status(text));
        fields.bytes = words.get(2).and_then(|text| bytes(text));
    }
    fields
}

/// Request of a line, of which the part after the date is given, and what follows the request.
fn request(text: &str) -> Option<(&str, &str)> {
    let open = text.find('"').filter(|_| text.starts_with(' '))?;
    let text = &text[open..];
    let mut ends: Vec<(&str, &str)> = Vec::new();
    let mut length = 0;
    // Every quote that is not escaped may be the last one of the request.
    while let Some(inside) = quoted(&format!("\"{}", &text[length + 1..])).map(|(inside, _)| inside.len()) {
        length += inside + 1;
        ends.push((&text[1..length], &text[length + 1..]));
    }
    let with_status = ends.iter().find(|(_, rest)| {
        let mut words = rest.split(' ');
        words.next() == Some("") && words.next().is_some_and(|word| status(word).is_some())
    });
    with_status.or(ends.first()).copied()
}

fn vhost(line: &str) -> Fields {
    let Some((name, rest)) = line.split_once(' ') else { return Fields::default() };
    Fields { host: host(name), hit: is_hit_after_agent(rest), ..combined(rest) }
}

/// Whether the first cache status after the user agent is a hit.
fn is_hit_after_agent(line: &str) -> bool {
    let mut dates = line.match_indices('[').filter_map(|(open, _)| {
        let (text, rest) = line[open + 1..].split_once(']')?;
        date(text).map(|_| rest)
    });
    // The first blank ends the address, and no date comes before it.
    let line = line.strip_prefix("\"-\" ").unwrap_or(line);
    let Some(address) = line.find(' ') else { return false };
    let Some(rest) = dates.find(|rest| rest.len() < line.len() - address) else { return false };
    let Some((_, mut rest)) = request(rest) else { return false };
    for _ in 0..2 {
        let Some((_, after)) = rest.find('"').and_then(|open| quoted(&rest[open..])) else { return false };
        rest = after;
    }
    let mut words = vec![String::new()];
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.push(String::new()),
            '"' => {
                let Some((inside, after)) = quoted(&format!("\"{}", characters.as_str()))
                    .map(|(inside, after)| (inside.to_owned(), after.len()))
                else {
                    words.pop();
                    break;
                };
                words.last_mut().unwrap().extend(["\"", &inside, "\""]);
                characters = rest[rest.len() - after..].chars();
            }
            other => words.last_mut().unwrap().push(other),
        }
    }
    let statuses = words.iter().filter_map(|word| {
        let word = match word.split_once('=') {
            Some((name, value))
                if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') =>
            {
                value
            }
            _ => word,
        };
        let word = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word);
        cache_status(word)
    });
    statuses.into_iter().next().unwrap_or(false)
}

fn cache_status(text: &str) -> Option<bool> {
    const OTHERS: &str = " MISS PASS BYPASS EXPIRED SCARCE HITMISS HITPASS ";
    let text = text.to_ascii_uppercase();
    let is_other = text.len() > 5 && text.ends_with("_MISS")
        || !text.contains(' ') && OTHERS.contains(&format!(" {text} "));
    if is_hit(&text) { Some(true) } else { (is_other && !text.is_empty()).then_some(false) }
}

/// Splits text that begins with a quote into the quoted text and the rest.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, char) in text.strip_prefix('"')?.char_indices() {
        match char {
            '"' if !escaped => return Some((&text[1..=at], &text[at + 2..])),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn date(text: &str) -> Option<i64> {
    // Which chrono would read in any case.
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let without_fraction = || {
        let (start, rest) = (text.get(..20)?, text.get(20..)?.strip_prefix('.')?);
        let zone = rest.trim_start_matches(|char: char| char.is_ascii_digit());
        (zone.len() < rest.len() && text.len() <= 40).then(|| format!("{start}{zone}"))
    };
    let text = &without_fraction().unwrap_or_else(|| text.to_owned());
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    let month = text.get(3..6).filter(|month| MONTHS.split(' ').any(|known| known == *month));
    if month.is_none_or(|month| {
        Some(shape) != text.get(21..22).map(|sign| format!("00/{month}/0000:00:00:00 {sign}0000"))
    }) {
        return iso_date(text);
    }
    let time = DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").ok()?.timestamp();
    (0..253_402_300_800).contains(&time).then_some(time)
}

fn iso_date(text: &str) -> Option<i64> {
    let is_iso = text.len() <= 40 && text.chars().nth(4) == Some('-') && text.is_ascii();
    let without_colon = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z");
    let time = DateTime::parse_from_rfc3339(text).or_else(|_| without_colon()).ok()?.timestamp();
    (is_iso && (0..253_402_300_800).contains(&time)).then_some(time)
}
