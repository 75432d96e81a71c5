//! Tailed file: reads what is appended to one file, and notices that it was replaced.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memchr;

use super::{Notice, age};
use crate::fingerprint::FIRST_LINE;
use crate::input::CHUNK;
use crate::sample::Sample;
use crate::{
    CheckpointId, IncrementalParser, IngestError, IngestOptions, Input, Ledger, LogIdentity, PausedParser,
    Rules, UncompressedBatch, ingest,
};

/// Bytes before the position that are read again every time: as long as they are the same, so is the file.
const TAIL: usize = 256;

/// Identity, size and modification time of a file: as long as they are the same, nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileStamp {
    /// Device and inode.
    pub(super) file: (u64, u64),
    /// Size in bytes when the file was last looked at.
    pub(super) size: u64,
    /// Unix seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

impl FileStamp {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { file: (file.dev(), file.ino()), size: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
    }

    /// Stamp of the file of that name, if there is one.
    pub(super) fn of_path(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(Self::of(&file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn is_same_file(self, other: Self) -> bool {
        self.file == other.file
    }
}

/// Result of reading a tailed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The end was reached.
    AtEnd,
    /// There is more to be read.
    More,
    /// The file no longer holds what was read of it.
    Replaced,
    /// Nothing of the file is read: whether it was read before cannot be told.
    Refused,
}

#[derive(Debug)]
enum State {
    /// Not compared with the stored checkpoints.
    Unidentified,
    /// Beginning of a log that was read before, as far as it went when it had so many bytes.
    Copy(u64),
    /// Read up to its position.
    Reading(Box<PausedParser>),
    /// Not to be read, as long as it has at least so many bytes.
    Refused(u64),
}

/// File that is being written, under whatever name.
#[derive(Debug)]
pub(super) struct TailedFile {
    path: PathBuf,
    file: File,
    /// Stamp when it was last read.
    stamp: FileStamp,
    /// Time at which it was opened, rotated or last grew.
    idle_since: Instant,
    state: State,
    /// Offset to read on at.
    position: u64,
    /// Bytes before the position, at most [`TAIL`].
    tail: Vec<u8>,
    /// Notices for the operator.
    notices: Vec<Notice>,
}

impl TailedFile {
    pub(super) fn new(path: PathBuf, file: File, now: Instant) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file that could be followed"));
        }
        let (stamp, state) = (FileStamp::of(&metadata), State::Unidentified);
        let (tail, notices) = (Vec::new(), Vec::new());
        Ok(Self { path, file, stamp, idle_since: now, state, position: 0, tail, notices })
    }

    pub(super) fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Whether nothing of it was read so far.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.state, State::Unidentified)
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused(_))
    }

    /// Time at which the log began, in unix seconds; nothing where no line of its beginning can be read.
    pub(super) fn began(&self, rules: &Rules<'_>) -> io::Result<Option<i64>> {
        age::began(&self.file, rules)
    }

    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn has_changed(&self) -> bool {
        self.file.metadata().map_or(true, |file| FileStamp::of(&file) != self.stamp)
    }

    /// Starts the wait for writers that still have the rotated file open.
    pub(super) fn mark_rotated(&mut self, now: Instant) {
        self.idle_since = now;
    }

    pub(super) fn is_idle(&self, now: Instant, time: Duration) -> bool {
        now.saturating_duration_since(self.idle_since) >= time
    }

    /// Makes the next read begin with what is recorded.
    pub(super) fn reset(&mut self) {
        (self.state, self.position) = (State::Unidentified, 0);
        self.tail.clear();
        // The next look finds the same.
        self.notices.clear();
    }

    /// Content from its first byte on; nothing while the first line is not whole, since logs are told apart by it.
    pub(super) fn input(&self) -> io::Result<Option<Input>> {
        let mut start = vec![0; FIRST_LINE];
        let count = read_at(&self.file, &mut start, 0)?;
        let is_whole = count == FIRST_LINE || memchr(b'\n', &start[..count]).is_some();
        if is_whole { Input::file(self.name(), self.file.try_clone()?).map(Some) } else { Ok(None) }
    }

    /// Compares the file with the stored checkpoints; nothing if it is too short for that, or refused.
    pub(super) fn identify<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        ledger: &mut L,
    ) -> Result<Option<LogIdentity>, IngestError<L::Error>> {
        self.reset();
        let size = self.current_stamp()?.size;
        let Some(mut input) = self.input().map_err(|error| self.error(error))? else { return Ok(None) };
        let (identity, parser) = match input.resume(rules, ledger) {
            Err(IngestError::Unclear { agreeing, known, .. }) => {
                self.state = State::Refused(size);
                self.notices.push(Notice::Unclear { path: self.path.clone(), agreeing, known });
                return Ok(None);
            }
            resumed => resumed?,
        };
        let Some(parser) = parser else {
            self.state = State::Copy(size);
            return Ok(Some(identity));
        };
        if identity == LogIdentity::New
            && let Sample::Unreadable { lines, is_enough } =
                input.sample(rules).map_err(|error| self.error(error))?
        {
            // A few lines may be noise before the first request.
            if is_enough {
                self.state = State::Refused(size);
                self.notices.push(Notice::OtherFormat { path: self.path.clone(), lines });
            }
            return Ok(None);
        }
        if let LogIdentity::Truncated { skipped } = identity {
            self.notices.push(Notice::Truncated { path: self.path.clone(), skipped });
        }
        let position = parser.position();
        let length = usize::try_from(position).unwrap_or(TAIL).min(TAIL);
        let mut tail = vec![0; length];
        let count = read_at(&self.file, &mut tail, position - length as u64);
        tail.truncate(count.map_err(|error| self.error(error))?);
        self.state = State::Reading(Box::new(parser.into_paused()));
        (self.position, self.tail) = (position, tail);
        Ok(Some(identity))
    }

    /// Reads up to a batch and records it.
    pub(super) fn read<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &IngestOptions,
        ledger: &mut L,
        now: Instant,
    ) -> Result<ReadOutcome, IngestError<L::Error>> {
        let stamp = self.current_stamp()?;
        if stamp.size != self.stamp.size {
            self.idle_since = now;
        }
        let was_copy = matches!(self.state, State::Copy(_));
        let is_unidentified = match self.state {
            State::Unidentified => true,
            State::Copy(size) => size != stamp.size,
            State::Refused(size) => size > stamp.size,
            State::Reading(_) => false,
        };
        if is_unidentified && self.identify(rules, ledger)? == Some(LogIdentity::New) && was_copy {
            return Ok(ReadOutcome::Replaced);
        }
        let outcome = match std::mem::replace(&mut self.state, State::Unidentified) {
            State::Reading(paused) => {
                let mut parser = paused.resume(rules)?;
                let outcome = self.feed(&mut parser, options).map_err(|error| self.error(error))?;
                let (batch, mut paused) = parser.pause(ledger.pack_name());
                if let Some(id) = record(batch, options, ledger)? {
                    paused.set_checkpoint_id(id);
                }
                self.state = State::Reading(Box::new(paused));
                outcome
            }
            state => {
                self.state = state;
                if self.is_refused() { ReadOutcome::Refused } else { ReadOutcome::AtEnd }
            }
        };
        // Stored only now, so that after an error the file still counts as changed.
        self.stamp = stamp;
        Ok(outcome)
    }

    /// Counts an unterminated last line, since no line end will come.
    pub(super) fn finish<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &IngestOptions,
        ledger: &mut L,
    ) -> Result<(), IngestError<L::Error>> {
        match std::mem::replace(&mut self.state, State::Unidentified) {
            State::Reading(paused) => {
                let (batch, _) = paused.resume(rules)?.finish(ledger.pack_name());
                record(batch, options, ledger).map(|_| ())
            }
            // Nothing but the beginning of a line.
            State::Unidentified => {
                let input = self.file.try_clone().and_then(|file| Input::file(self.name(), file));
                match ingest(input.map_err(|error| self.error(error))?, rules, options, ledger) {
                    Err(IngestError::Unreadable { lines, .. }) => {
                        self.notices.push(Notice::OtherFormat { path: self.path.clone(), lines });
                        Ok(())
                    }
                    read => read.map(|_| ()),
                }
            }
            State::Copy(_) | State::Refused(_) => Ok(()),
        }
    }

    fn feed(
        &mut self,
        parser: &mut IncrementalParser<'_>,
        options: &IngestOptions,
    ) -> io::Result<ReadOutcome> {
        let mut chunk = vec![0; TAIL + CHUNK.min(options.batch_bytes).max(1)];
        while parser.pending() < options.batch_bytes {
            let count = read_at(&self.file, &mut chunk, self.position - self.tail.len() as u64)?;
            let read = &chunk[..count];
            let Some(new) = read.strip_prefix(&*self.tail) else { return Ok(ReadOutcome::Replaced) };
            if new.is_empty() {
                return Ok(ReadOutcome::AtEnd);
            }
            parser.feed(new);
            self.position += new.len() as u64;
            self.tail = read[count.saturating_sub(TAIL)..].to_vec();
        }
        Ok(ReadOutcome::More)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn current_stamp<E: std::error::Error>(&self) -> Result<FileStamp, IngestError<E>> {
        self.file.metadata().map(|file| FileStamp::of(&file)).map_err(|error| self.error(error))
    }

    fn error<E: std::error::Error>(&self, source: io::Error) -> IngestError<E> {
        IngestError::Read { name: self.name(), source }
    }
}

/// Records a batch unless it is empty; returns the id of its checkpoint.
fn record<L: Ledger>(
    batch: UncompressedBatch,
    options: &IngestOptions,
    ledger: &mut L,
) -> Result<Option<CheckpointId>, IngestError<L::Error>> {
    if batch.is_empty() {
        return Ok(None);
    }
    let batch = batch.compress(options.compression).map_err(IngestError::Compress)?;
    ledger.record(batch).map(Some).map_err(IngestError::Ledger)
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], position + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
