//! Shipping again: what a server has lost, as by its restore from a backup, is read once more from the files that have it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pilothouse_access_log::{Input, LogIdentity};

use super::delivery::{Answer, Delivery, gzip};
use super::entry::Segment;
use super::error::ShipError;
use super::ledger::{PositionLedger, rules};
use super::server::{LogServer, ShipEvent};
use super::{PIECE, ShippedLog};

/// Bytes at the beginning of a file by which it is noticed that it was truncated and written anew.
const HEAD: usize = 4096;
/// Looks at the files, where one of them is renamed between listing and opening it.
const LOOKS: usize = 5;

/// Result of shipping again.
pub(super) enum ShippedAgain {
    Whole,
    /// It is to be begun again: the server wants something else meanwhile, or a file has changed.
    Interrupted(String),
}

impl<S: LogServer> Delivery<'_, S> {
    /// Ships what lies between two offsets once more.
    pub(super) fn ship_again(&mut self, from: u64, to: u64) -> Result<ShippedAgain, ShipError> {
        let files = self.files_of_logs()?;
        let mut segments = Vec::new();
        let mut begins = to;
        for segment in self.journal.state().latest_segments() {
            if begins <= from || segment.end() != begins || !files.contains_key(&segment.log) {
                break;
            }
            segments.push(*segment);
            begins = segment.offset;
        }
        if begins > from {
            let ShippedLog { cdn, edge, .. } = self.log.clone();
            return Err(ShipError::Lost { from, to: begins, cdn, edge });
        }
        for segment in segments.into_iter().rev() {
            let passed = from.saturating_sub(segment.offset);
            let rest = Segment {
                offset: segment.offset + passed,
                length: segment.length - passed,
                at: segment.at + passed,
                ..segment
            };
            let again = self.ship_segment(rest, &files[&segment.log])?;
            if !matches!(again, ShippedAgain::Whole) {
                return Ok(again);
            }
        }
        Ok(ShippedAgain::Whole)
    }

    fn ship_segment(&mut self, segment: Segment, file: &KnownFile) -> Result<ShippedAgain, ShipError> {
        let failed = |source| ShipError::Log { path: file.path.clone(), source };
        let changed = || ShippedAgain::Interrupted(format!("{} has changed", file.path.display()));
        let mut lines =
            SegmentLines { input: file.input().map_err(failed)?, left: segment.length, ahead: Vec::new() };
        lines.pass_over(segment.at).map_err(failed)?;
        let mut offset = segment.offset;
        loop {
            let piece = match lines.next_piece() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(changed()),
                piece => piece.map_err(failed)?,
            };
            let Some(piece) = piece else { return Ok(ShippedAgain::Whole) };
            // A truncated file has other bytes now, which must not get these offsets.
            if !file.is_unchanged().map_err(failed)? {
                return Ok(changed());
            }
            let end = offset + piece.len() as u64;
            match self.send(offset, &gzip(&piece).map_err(failed)?)? {
                Answer::Wanted(wanted) if wanted == end => {}
                Answer::Wanted(wanted) => return Err(self.ahead(wanted, end)),
                Answer::Conflict(why) => return Ok(ShippedAgain::Interrupted(why)),
            }
            self.server.report(ShipEvent::Shipped { offset: end, bytes: piece.len() as u64 });
            offset = end;
        }
    }

    /// Files that hold all that was shipped of a log, by the ids of the logs.
    fn files_of_logs(&mut self) -> Result<HashMap<i64, KnownFile>, ShipError> {
        let mut files = HashMap::new();
        for _ in 0..LOOKS {
            let listed = self.log.follower().rotated_files();
            let listed = listed.map_err(|source| ShipError::Log { path: self.log.path.clone(), source })?;
            files.clear();
            let mut has_moved = false;
            for path in std::iter::once(&self.log.path).chain(&listed) {
                match KnownFile::open(path) {
                    Ok(file) => files.extend(self.log_of(&file).map(|id| (id, file))),
                    Err(error) => {
                        has_moved |= error.kind() == io::ErrorKind::NotFound && *path != self.log.path;
                    }
                }
            }
            if !has_moved {
                break;
            }
        }
        Ok(files)
    }

    /// Id of the log that a file holds all of that was shipped; nothing if there is none, or the file cannot be read.
    fn log_of(&mut self, file: &KnownFile) -> Option<i64> {
        let mut ledger = PositionLedger { journal: &mut self.journal };
        match file.input().ok()?.resume(&rules(), &mut ledger).ok()? {
            (LogIdentity::Continued, Some(parser)) => parser.checkpoint_id().map(|id| id.0),
            _ => None,
        }
    }
}

/// Open file of a log: whatever becomes of its name, it is the same.
struct KnownFile {
    path: PathBuf,
    file: File,
    head: Vec<u8>,
}

impl KnownFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let head = head(&file, HEAD)?;
        Ok(Self { path: path.to_owned(), file, head })
    }

    fn input(&self) -> io::Result<Input> {
        Input::file(self.path.display().to_string(), self.file.try_clone()?)
    }

    /// Whether the file still begins as it did when it was opened.
    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(head(&self.file, self.head.len())? == self.head)
    }
}

/// First bytes of a file, at most so many.
fn head(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; most];
    let mut count = 0;
    while count < most {
        match file.read_at(&mut head[count..], count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(count);
    Ok(head)
}

/// Lines of a segment, read from its log.
struct SegmentLines {
    input: Input,
    /// Bytes of the segment that were not read yet.
    left: u64,
    /// Bytes after the last whole line.
    ahead: Vec<u8>,
}

impl SegmentLines {
    fn pass_over(&mut self, bytes: u64) -> io::Result<()> {
        io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink()).map(|_| ())
    }

    /// Whole lines, about as many as a piece has; nothing at the end.
    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = std::mem::take(&mut self.ahead);
        while self.left > 0 {
            let before = piece.len();
            // The last byte is the line end that ended the segment, which the log itself may not have.
            let wanted = (PIECE as u64).min(self.left - 1);
            let read = self.input.by_ref().take(wanted).read_to_end(&mut piece)?;
            if read as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left -= wanted;
            if self.left == 1 {
                piece.push(b'\n');
                self.left = 0;
            }
            if let Some(end) = piece[before..].iter().rposition(|byte| *byte == b'\n') {
                self.ahead = piece.split_off(before + end + 1);
                return Ok(Some(piece));
            }
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &[u8], at: u64, length: u64) -> Vec<Vec<u8>> {
        let input = Input::stream("log", io::Cursor::new(content.to_vec()));
        let mut lines = SegmentLines { input, left: length, ahead: Vec::new() };
        lines.pass_over(at).unwrap();
        std::iter::from_fn(|| lines.next_piece().unwrap()).collect()
    }

    #[test]
    fn a_segment_is_read_in_whole_lines_and_ends_with_one() {
        assert_eq!(pieces(b"one\ntwo\nthree\n", 4, 10), [b"two\nthree\n"]);
        assert_eq!(pieces(b"one\ntwo", 4, 4), [b"two\n"], "the log does not end its line");
        assert_eq!(pieces(b"one\ntwo-rest\n", 4, 4), [b"two\n"], "it grew later");
        assert_eq!(pieces(b"\n", 0, 1), [b"\n"]);
        let long: Vec<u8> = (0..1_000_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let read = pieces(&long, 0, long.len() as u64);
        assert!(
            read.len() > 1 && read.iter().all(|piece| piece.ends_with(b"\n") && piece.len() <= PIECE + 8)
        );
        assert!(read.concat() == long);
    }

    #[test]
    fn a_file_that_was_truncated_is_noticed_and_a_grown_one_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\n").unwrap();
        let file = KnownFile::open(&path).unwrap();
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert!(file.is_unchanged().unwrap());
        std::fs::write(&path, "two\n").unwrap();
        assert!(!file.is_unchanged().unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(!file.is_unchanged().unwrap());
    }
}
