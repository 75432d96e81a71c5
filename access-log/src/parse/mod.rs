//! Line parser: takes one line of a log apart without copying it.

mod combined;
mod date;
mod field;
mod json;
mod tsv;

use crate::Format;
use date::DateParser;
use memchr::memchr2;

/// Longest line that is parsed, in bytes (1 MiB): a longer one counts as unreadable.
pub const MAX_LINE: usize = 1 << 20;

/// Most bytes of one response that are believed (1 PiB): with more, the field counts as unreadable.
pub const MAX_BYTES: u64 = 1 << 50;

/// Fields of a line. A field that could not be read is `None`; the others still stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParsedLine<'a> {
    /// Host as written: perhaps in upper case, with port or trailing dot. Never empty or `-`. Always `None` in `combined`.
    pub host: Option<&'a [u8]>,
    /// Unix seconds, from 1970 to the end of 9999.
    pub time: Option<i64>,
    /// Method of the request. `Some`, though perhaps empty or odd, if and only if the request as a whole could be read.
    pub method: Option<&'a [u8]>,
    /// Status: three digits, at least 100; 0 where the server writes `000` or `-`, because nothing was answered.
    pub status: Option<u16>,
    /// Bytes sent; `-` is 0.
    pub bytes: Option<u64>,
    /// Address of the client as written; may be anything, such as the beginning of a list or an address with a port.
    pub address: Option<&'a [u8]>,
    /// Whether the cache status is `HIT`, nginx's `STALE`, `UPDATING` or `REVALIDATED`, or ends in `_HIT` as those of Traffic
    /// Server and Squid do, in any case.
    pub hit: bool,
    /// URL as requested, perhaps with a query, and in `tsv` with the fields after it; may be anything. `None` where it could
    /// not be read, or holds escapes of JSON.
    pub uri: Option<&'a [u8]>,
    /// Whole duration of the response in seconds, as written; may be anything. Only in `tsv` and `json`.
    pub duration: Option<&'a [u8]>,
}

impl<'a> ParsedLine<'a> {
    /// Whether request, status and bytes could be read, which billing needs beside host and time.
    pub fn is_complete(&self) -> bool {
        self.method.is_some() && self.status.is_some() && self.bytes.is_some()
    }

    /// URL as requested, without its query.
    #[inline]
    pub fn path(&self) -> Option<&'a [u8]> {
        // Servers write a TAB of a URL in another way.
        self.uri.map(|uri| &uri[..memchr2(b'?', b'\t', uri).unwrap_or(uri.len())])
    }

    /// Whether the request is a purge that the cache took: never billed. Any visitor can send one, so a refused one (the
    /// shipped edges answer 405) is billed like every request, and so are other methods that some caches take for orders.
    pub fn is_purge(&self) -> bool {
        self.method == Some(b"PURGE") && self.status.is_none_or(|status| status < 400 || status == 404)
    }
}

/// Parser of lines of one format. It caches the last date, since the next line mostly has the same.
#[derive(Debug, Clone)]
pub struct LineParser {
    format: Format,
    dates: DateParser,
    tsv_times: tsv::TimeCache,
}

impl LineParser {
    /// Creates a parser for `format`.
    pub fn new(format: Format) -> Self {
        Self { format, dates: DateParser::default(), tsv_times: tsv::TimeCache::default() }
    }

    /// Parses what can be read of `line`; LF or CRLF at its end are no part of it. Any bytes are accepted.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> ParsedLine<'a> {
        if line.len() > MAX_LINE {
            return ParsedLine::default();
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if matches!(line.first(), Some(0 | 0xef)) { without_padding(line) } else { line };
        match self.format {
            Format::Combined => combined::parse(line, &mut self.dates),
            Format::VhostCombined => combined::parse_vhost(line, &mut self.dates),
            Format::Tsv => tsv::parse(line, &mut self.tsv_times),
            Format::Json => json::parse(line),
            Format::Verbatim => ParsedLine::default(),
        }
    }
}

/// Line without what is no part of it: a byte-order mark, and the NULs that a file system fills a file with after a crash.
#[cold]
fn without_padding(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(&[0]).or_else(|| line.strip_prefix(b"\xef\xbb\xbf")) {
        line = rest;
    }
    line
}
