//! The same count once more, as slowly and plainly as it can be written.

use std::collections::BTreeMap;

use chrono::DateTime;
use pilothouse_access_log::{Counters, Format};

use crate::support::{A, B, Traffic};

const ORDERS: [&str; 7] = ["PURGE", "BAN", "GENBUMP", "REFRESH", "SOFTPURGE", "FASTLYPURGE", "PURGEALL"];

/// What a line says; nothing where it cannot be read.
#[derive(Default)]
struct Said {
    host: Option<String>,
    time: Option<i64>,
    method: Option<String>,
    status: Option<usize>,
    bytes: Option<i64>,
    hit: bool,
}

/// Traffic and counters of a log with the domains of the tests.
pub(crate) fn count(format: Format, content: &[u8]) -> (BTreeMap<(i64, i64), Traffic>, Counters) {
    let (mut traffic, mut counters) = (BTreeMap::<_, Traffic>::new(), Counters::default());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        // A byte a character, so that no byte is lost.
        let line: String = line.iter().filter(|byte| **byte != b'\n').map(|byte| char::from(*byte)).collect();
        let line = line.strip_suffix('\r').unwrap_or(&line);
        let said = match format {
            Format::Tsv => tsv(line),
            Format::Combined => combined(line),
            Format::VhostCombined => vhost(line),
            Format::Json => unreachable!("JSON is not counted here"),
        };
        counters.lines += 1;
        let domain = match &said.host {
            Some(host) => domain(host),
            None if format == Format::Combined => Some(A),
            None => None,
        };
        let has_host = said.host.is_some() || format == Format::Combined;
        let (Some(time), true) = (said.time, has_host) else {
            counters.unreadable += 1;
            continue;
        };
        let Some(domain) = domain else {
            counters.unregistered += 1;
            continue;
        };
        counters.kept += 1;
        if said.method.as_deref().is_some_and(|method| ORDERS.contains(&method)) {
            counters.purges += 1;
        } else if let (Some(_), Some(status), Some(bytes)) = (said.method, said.status, said.bytes) {
            counters.billed += 1;
            let sum = traffic.entry((domain, time / 300 * 300)).or_default();
            sum.flux += bytes;
            sum.requests += 1;
            sum.hits += i64::from(said.hit);
            if (200..600).contains(&status) {
                sum.classes[status / 100 - 2] += 1;
            }
        } else {
            counters.unreadable += 1;
        }
    }
    (traffic, counters)
}

fn domain(host: &str) -> Option<i64> {
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
    let status = number(text).filter(|status| text.len() == 3 && *status >= 100)?;
    usize::try_from(status).ok()
}

fn bytes(text: &str) -> Option<i64> {
    if text == "-" { Some(0) } else { number(text).filter(|bytes| *bytes <= 1 << 50) }
}

fn is_hit(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    text == "HIT" || text.ends_with("_HIT")
}

fn tsv(line: &str) -> Said {
    let fields: Vec<_> = line.split('\t').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    let (seconds, fraction) = field(0).split_once('.').unwrap_or((field(0), ""));
    let time = number(seconds).filter(|time| *time < 253_402_300_800);
    Said {
        host: host(field(1)),
        time: time.filter(|_| fraction.chars().all(|char| char.is_ascii_digit())),
        method: (!field(7).is_empty() && !field(8).is_empty()).then(|| field(7).to_owned()),
        status: status(field(2)),
        bytes: bytes(field(3)),
        hit: is_hit(field(5)),
    }
}

fn combined(line: &str) -> Said {
    let mut said = Said::default();
    let Some((_, rest)) = line.split_once(' ') else { return said };
    let mut dates = rest.match_indices('[').filter_map(|(open, _)| {
        let (text, rest) = rest[open + 1..].split_once(']')?;
        Some((date(text)?, rest))
    });
    let Some((time, rest)) = dates.next() else { return said };
    said.time = Some(time);
    let Some((request, rest)) = rest.strip_prefix(' ').and_then(quoted) else { return said };
    said.method = Some(request.split(' ').next().unwrap().to_owned());
    let words: Vec<_> = rest.split(' ').collect();
    if words[0].is_empty() {
        said.status = words.get(1).and_then(|text| status(text));
        said.bytes = words.get(2).and_then(|text| bytes(text));
    }
    said
}

fn vhost(line: &str) -> Said {
    let Some((name, rest)) = line.split_once(' ') else { return Said::default() };
    // A cache status follows the third quoted text, or is the fourth.
    let (mut texts, mut after) = (0, line);
    while let Some((_, rest)) = after.find('"').and_then(|open| quoted(&after[open..])) {
        texts += 1;
        after = rest;
    }
    let hit = match (texts, line.strip_suffix('"')) {
        (4, Some(line)) => line.rsplit_once('"').is_some_and(|(_, status)| is_hit(status)),
        (3, None) => {
            line.rsplit_once(' ').is_some_and(|(before, word)| before.ends_with('"') && is_hit(word))
        }
        _ => false,
    };
    Said { host: host(name), hit, ..combined(rest) }
}

/// What quotes enclose, and what follows.
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
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    let month = text.get(3..6).filter(|month| MONTHS.split(' ').any(|known| known == *month))?;
    if shape != format!("00/{month}/0000:00:00:00 {}0000", text.get(21..22)?) {
        return None;
    }
    let time = DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").ok()?.timestamp();
    (0..253_402_300_800).contains(&time).then_some(time)
}
