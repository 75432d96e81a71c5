//! Verbatim lines: the copy of what is new in a log, for a reader that passes it on instead of counting it.

use memchr::{memchr, memrchr};

use crate::parse::MAX_LINE;

/// New lines of a log, as they are in it.
///
/// Every line ends with LF. One that the log does not end, and that was read because nothing more will be added to it, has got
/// its LF here; if the log grows nevertheless, the rest is a line of its own. Of a line that is too long to be parsed (1 MiB) only
/// the line end is here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerbatimLines {
    /// Offset in the log of the first of these bytes, before compression.
    pub from: u64,
    /// Lines with their line ends.
    pub bytes: Vec<u8>,
    /// Bytes of overlong lines that are left out.
    pub left_out: u64,
}

/// Copy of the bytes of a log since the last batch.
#[derive(Debug, Default)]
pub(super) struct LineCopy {
    /// Offset in the log of the first byte of `bytes`.
    from: u64,
    bytes: Vec<u8>,
    /// Length of the whole lines that `bytes` begins with.
    whole: usize,
    left_out: u64,
    /// Bytes left out of the line that is not whole yet.
    left_out_of_line: u64,
    /// Whether the log went on after a line that was taken without its line end: a line end that comes now was copied already.
    follows_open_line: bool,
}

impl LineCopy {
    pub(super) fn from(from: u64) -> Self {
        Self { from, ..Self::default() }
    }

    pub(super) fn after_open_line(self, follows_open_line: bool) -> Self {
        Self { follows_open_line, ..self }
    }

    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        if self.follows_open_line && !bytes.is_empty() {
            self.follows_open_line = false;
            if let Some(rest) = bytes.strip_prefix(b"\n") {
                (bytes, self.from) = (rest, self.from + 1);
            }
        }
        if self.left_out_of_line > 0 {
            let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
            self.left_out_of_line += end as u64;
            bytes = &bytes[end..];
        }
        let Some(last) = memrchr(b'\n', bytes) else { return self.add_partial(bytes) };
        let (whole, partial) = bytes.split_at(last + 1);
        self.bytes.extend_from_slice(whole);
        self.whole = self.bytes.len();
        self.left_out += std::mem::take(&mut self.left_out_of_line);
        self.add_partial(partial);
    }

    fn add_partial(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let length = self.bytes.len() - self.whole;
        if length > MAX_LINE {
            self.bytes.truncate(self.whole);
            self.left_out_of_line += length as u64;
        }
    }

    /// Ends a line that the log does not.
    pub(super) fn end_line(&mut self) {
        self.bytes.push(b'\n');
        self.whole = self.bytes.len();
    }

    /// Takes the whole lines.
    pub(super) fn take(&mut self) -> VerbatimLines {
        let partial = self.bytes.split_off(self.whole);
        let bytes = std::mem::replace(&mut self.bytes, partial);
        let left_out = std::mem::take(&mut self.left_out);
        let from = self.from;
        self.from += bytes.len() as u64 + left_out;
        self.whole = 0;
        VerbatimLines { from, bytes, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(copy: &mut LineCopy) -> (u64, String, u64) {
        let VerbatimLines { from, bytes, left_out } = copy.take();
        (from, String::from_utf8(bytes).unwrap(), left_out)
    }

    #[test]
    fn whole_lines_are_taken_and_a_partial_one_waits() {
        let mut copy = LineCopy::from(10);
        copy.add(b"one\ntw");
        assert_eq!(taken(&mut copy), (10, "one\n".to_owned(), 0));
        assert_eq!(taken(&mut copy), (14, String::new(), 0));
        copy.add(b"o\nthree");
        copy.end_line();
        assert_eq!(taken(&mut copy), (14, "two\nthree\n".to_owned(), 0));
    }

    #[test]
    fn what_follows_an_open_line_is_its_line_end_or_a_line_of_its_own() {
        for (more, expected) in [("\nnext\n", (6, "next\n")), ("rest\n", (5, "rest\n"))] {
            let mut copy = LineCopy::from(5).after_open_line(true);
            copy.add(b"");
            copy.add(more.as_bytes());
            assert_eq!(taken(&mut copy), (expected.0, expected.1.to_owned(), 0));
        }
    }

    #[test]
    fn an_overlong_line_is_an_empty_one() {
        let mut copy = LineCopy::from(0);
        copy.add(b"one\n");
        let half = vec![b'x'; MAX_LINE / 2 + 1];
        for _ in 0..4 {
            copy.add(&half);
        }
        assert_eq!(taken(&mut copy), (0, "one\n".to_owned(), 0));
        copy.add(b"x\ntwo\n");
        assert_eq!(taken(&mut copy), (4, "\ntwo\n".to_owned(), 4 * half.len() as u64 + 1));
        copy.add(b"three\n");
        assert_eq!(copy.take().from, 4 + 5 + 4 * half.len() as u64 + 1);
    }
}
