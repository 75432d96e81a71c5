//! Sample of a log's first lines: tells a log in another format before any of it is recorded.

use std::io;

use memchr::memchr_iter;

use crate::input::{CHUNK, Input};
use crate::parse::LineParser;
use crate::{Format, Rules};

/// Lines that are looked at.
const LINES: usize = 100;

/// Result of looking at the first lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Some line can be read, or there is none.
    Readable,
    /// None can be read.
    Unreadable {
        /// Number of lines.
        lines: usize,
        /// Whether more lines would not be looked at.
        is_enough: bool,
    },
}

impl Input {
    /// Looks at the first lines. Nothing may have been consumed, and nothing is.
    pub(crate) fn sample(&mut self, rules: &Rules<'_>) -> io::Result<Sample> {
        if rules.format == Format::Verbatim {
            return Ok(Sample::Readable);
        }
        let text = self.peek(CHUNK, |text| memchr_iter(b'\n', text).nth(LINES - 1).is_some())?;
        let mut parser = LineParser::new(rules.format);
        let mut lines = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n').take(LINES) {
            // The beginning of a line tells nothing.
            if !line.ends_with(b"\n") {
                break;
            }
            lines += 1;
            let line = parser.parse(line);
            let has_host = line.host.is_some() || rules.format == Format::Combined;
            if line.time.is_some() && has_host && line.is_complete() {
                return Ok(Sample::Readable);
            }
        }
        let is_enough = lines == LINES || text.len() >= CHUNK;
        Ok(if lines == 0 { Sample::Readable } else { Sample::Unreadable { lines, is_enough } })
    }
}
