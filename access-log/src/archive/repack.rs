//! Repacking of a gzip file of log lines: the same bytes, in pieces that are gzip files by themselves.

use std::io::{self, Write};
use std::mem;

use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};

/// Bytes of lines of which a piece is made, before compression.
const PIECE: usize = 8 << 20;
/// Compressed bytes that are decompressed at once, so that a file that expands a thousandfold takes no more memory than
/// another.
const STEP: usize = 64 << 10;

/// Lines of a gzip file that are a gzip file by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepackedLines {
    /// Compressed lines.
    pub data: Vec<u8>,
    /// Number of lines.
    pub lines: u64,
    /// Bytes of the lines before compression.
    pub raw_length: u64,
}

/// Decompresses a gzip file, which comes in any parts, and compresses its lines anew in pieces of about 8 MiB.
///
/// Pieces end at the end of a line. Where the last line has no end it gets one, so that files may be put behind each other.
#[derive(Debug)]
pub struct Repacker {
    decoder: MultiGzDecoder<Vec<u8>>,
    level: u32,
    is_empty: bool,
}

impl Repacker {
    /// Creates a repacker whose pieces are compressed at a gzip level of 1 to 9.
    pub fn new(level: u32) -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), level: level.clamp(1, 9), is_empty: true }
    }

    /// Reads the next part of the file, and returns the pieces that are whole. An error says that it is no gzip file.
    pub fn feed(&mut self, gzip: &[u8]) -> io::Result<Vec<RepackedLines>> {
        let mut pieces = Vec::new();
        for step in gzip.chunks(STEP) {
            self.is_empty = false;
            self.decoder.write_all(step)?;
            let lines = self.decoder.get_mut();
            if lines.len() < PIECE {
                continue;
            }
            // A line of 8 MiB is in two pieces.
            let end = memchr::memrchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
            let rest = lines.split_off(end);
            let whole = mem::replace(lines, rest);
            pieces.push(self.pack(&whole)?);
        }
        Ok(pieces)
    }

    /// Ends the file, and returns the last piece where there are lines left. An error says that the file is not whole.
    pub fn finish(&mut self) -> io::Result<Option<RepackedLines>> {
        if self.is_empty {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.decoder.try_finish()?;
        let mut lines = mem::take(self.decoder.get_mut());
        if lines.is_empty() {
            return Ok(None);
        }
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        self.pack(&lines).map(Some)
    }

    fn pack(&self, lines: &[u8]) -> io::Result<RepackedLines> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(self.level));
        gzip.write_all(lines)?;
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        Ok(RepackedLines { data: gzip.finish()?, lines: count, raw_length: lines.len() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder as Reader;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    fn repacked(file: &[u8], part: usize) -> io::Result<Vec<RepackedLines>> {
        let mut repacker = Repacker::new(6);
        let mut pieces = Vec::new();
        for part in file.chunks(part) {
            pieces.extend(repacker.feed(part)?);
        }
        pieces.extend(repacker.finish()?);
        Ok(pieces)
    }

    fn text(pieces: &[RepackedLines]) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in pieces {
            let mut lines = Vec::new();
            Reader::new(&*piece.data).read_to_end(&mut lines).unwrap();
            assert_eq!(lines.len() as u64, piece.raw_length);
            assert_eq!(lines.split(|byte| *byte == b'\n').count() as u64 - 1, piece.lines);
            text.extend(lines);
        }
        text
    }

    #[test]
    fn lines_stay_as_they_are_in_pieces_that_end_with_a_line() {
        let line = |n: usize| format!("{n} {}\n", "GET /更新 ".repeat(n % 50));
        let lines: String = (0..100_000).map(line).collect();
        assert!(lines.len() > 2 * PIECE);
        let (one, other) = lines.as_bytes().split_at(lines.len() / 2);
        let file = [gzip(one), gzip(b""), gzip(other)].concat();
        for part in [1000, file.len()] {
            let pieces = repacked(&file, part).unwrap();
            assert!(pieces.len() > 2);
            assert_eq!(text(&pieces), lines.as_bytes());
            for piece in &pieces {
                assert_eq!(text(std::slice::from_ref(piece)).last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn a_last_line_gets_its_end_and_a_file_without_lines_is_no_piece() {
        assert_eq!(text(&repacked(&gzip(b"a\nb"), 3).unwrap()), b"a\nb\n");
        assert_eq!(repacked(&gzip(b""), 3).unwrap(), []);
    }

    #[test]
    fn what_is_no_whole_gzip_file_is_refused() {
        let file = gzip(b"a line that is long enough to be cut\n");
        let broken = [file.clone(), b"rest".to_vec()].concat();
        for bad in [&b""[..], b"<html>404</html>", &file[..file.len() - 1], &file[..12], &broken] {
            assert!(repacked(bad, 5).is_err(), "{bad:?}");
        }
        let mut damaged = file;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(repacked(&damaged, 1000).is_err());
    }
}
