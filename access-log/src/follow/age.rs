//! Age of rotated files by the times of their lines: a rotated file is older than the log began.
//!
//! Lines are not quite in order: they may be stamped with the begin of long requests, and a writer that has not reopened the
//! log yet goes on for a while. So a log begins with the latest of its first lines, and a rotated file with the earliest.

use std::fs::File;
use std::io;

use memchr::memchr_iter;

use super::ROTATE_WAIT;
use super::order::Begin;
use super::tailed_file::read_at;
use crate::input::Input;
use crate::parse::LineParser;
use crate::{Format, Rules, Stamp};

/// Lines at the beginning, and at the end, that are looked at.
const LINES: usize = 16;
/// Most bytes that are looked at for them.
const BYTES: usize = 64 << 10;

/// Time at which a log began, in unix seconds; nothing where no line of its beginning can be read.
pub(super) fn began(file: &File, rules: &Rules<'_>) -> io::Result<Option<i64>> {
    let mut start = vec![0; BYTES];
    let count = read_at(file, &mut start, 0)?;
    Ok(times(&start[..count], rules.format, false).into_iter().max())
}

/// Whether the lines of a file are older than a log that began at `began`. So is a file without readable lines.
pub(super) fn is_older(
    input: &mut Input,
    plain: Option<&File>,
    began: i64,
    rules: &Rules<'_>,
) -> io::Result<bool> {
    let start = input.peek(BYTES, |_| false)?;
    if times(start, rules.format, false).into_iter().min().is_some_and(|first| first > began) {
        return Ok(false);
    }
    // Compressed files are complete, so their beginning is enough.
    let Some(file) = plain else { return Ok(true) };
    let size = file.metadata()?.len();
    let mut end = vec![0; BYTES];
    let count = read_at(file, &mut end, size.saturating_sub(BYTES as u64))?;
    let last = times(&end[..count], rules.format, true).into_iter().min();
    Ok(last.is_none_or(|last| last <= began + ROTATE_WAIT.as_secs().cast_signed()))
}

/// Begin of a rotated file among others. Lines that are stamped with their end begin with the earliest; of others one may be of a
/// long request, so that the median counts.
pub(super) fn begin(input: &mut Input, rules: &Rules<'_>) -> io::Result<Begin> {
    let start = input.peek(BYTES, |text| memchr_iter(b'\n', text).nth(LINES - 1).is_some())?;
    if start.is_empty() {
        return Ok(Begin::Empty);
    }
    // Whoever passes lines on does not know their format.
    let formats = match rules.format {
        Format::Verbatim => vec![Format::Tsv, Format::Json, Format::Combined],
        format => vec![format],
    };
    let times = formats.into_iter().map(|format| times(start, format, false)).find(|times| !times.is_empty());
    let Some(mut times) = times else { return Ok(Begin::Unknown) };
    times.sort_unstable();
    Ok(Begin::At(match rules.stamp {
        Stamp::End => times[0],
        Stamp::Begin => times[(times.len() - 1) / 2],
    }))
}

/// Times of the first or last whole lines of a text.
fn times(text: &[u8], format: Format, at_end: bool) -> Vec<i64> {
    let mut parser = LineParser::new(format);
    let mut lines: Vec<_> =
        text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).collect();
    if at_end {
        lines.reverse();
    }
    lines.into_iter().take(LINES).filter_map(|line| parser.parse(line).time).collect()
}
