//! One line of a log, taken apart without copying.

mod combined;
mod date;
mod field;
mod json;
mod tsv;

use crate::Format;
use date::Dates;

/// Lines longer than this many bytes (1 MiB) are not taken apart: they count as unreadable.
pub const MAX_LINE: usize = 1 << 20;

/// More bytes than this (1 PiB) in one response are not believed: the field counts as unreadable.
pub const MAX_BYTES: u64 = 1 << 50;

/// What could be read of a line. A field that could not be read is `None`; the others still stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// As written: perhaps with upper case, port or trailing dot. Never empty or `-`. Always `None` in `combined`.
    pub host: Option<&'a [u8]>,
    /// Unix seconds, from 1970 to the end of 9999.
    pub time: Option<i64>,
    /// The request's method. `Some`, though perhaps empty or odd, if and only if the request as a whole could be read.
    pub method: Option<&'a [u8]>,
    /// Three digits, at least 100.
    pub status: Option<u16>,
    /// What was sent, in bytes; `-` is 0.
    pub bytes: Option<u64>,
    /// The client's address as written; may be anything.
    pub address: Option<&'a [u8]>,
    /// The cache status is `HIT`, or ends in `_HIT` as Traffic Server's and Squid's do, in any case.
    pub hit: bool,
}

impl Line<'_> {
    /// Whether request, status and bytes could be read, which billing needs beside host and time.
    pub fn is_complete(&self) -> bool {
        self.method.is_some() && self.status.is_some() && self.bytes.is_some()
    }

    /// Whether the request is an order to the cache rather than a visitor's: never billed.
    pub fn is_purge(&self) -> bool {
        const ORDERS: [&[u8]; 7] =
            [b"PURGE", b"BAN", b"GENBUMP", b"REFRESH", b"SOFTPURGE", b"FASTLYPURGE", b"PURGEALL"];
        // Nearly every method is GET, HEAD or POST, so one byte decides.
        self.method.is_some_and(|method| {
            matches!(method.first(), Some(b'P' | b'B' | b'G' | b'R' | b'S' | b'F'))
                && method != b"GET"
                && ORDERS.contains(&method)
        })
    }
}

/// Takes lines of one format apart. It remembers the last date, since the next line mostly has the same.
#[derive(Debug, Clone)]
pub struct Parser {
    format: Format,
    dates: Dates,
    seconds: tsv::Seconds,
}

impl Parser {
    /// A parser for `format`.
    pub fn new(format: Format) -> Self {
        Self { format, dates: Dates::default(), seconds: tsv::Seconds::default() }
    }

    /// Reads what can be read of `line`; LF or CRLF at its end are no part of it. Any bytes are accepted.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        if line.len() > MAX_LINE {
            return Line::default();
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.format {
            Format::Combined => combined::parse(line, &mut self.dates),
            Format::VhostCombined => combined::parse_vhost(line, &mut self.dates),
            Format::Tsv => tsv::parse(line, &mut self.seconds),
            Format::Json => json::parse(line),
        }
    }
}
