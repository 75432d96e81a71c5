//! One file that is being written.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memchr;

use crate::input::CHUNK;
use crate::source::FIRST_LINE;
use crate::{Feeder, Found, IngestError, Input, Ledger, Options, Parsed, Paused, Rules};

/// So many bytes before the position are read again every time: as long as they are the same, so is the file.
const TAIL: usize = 256;

/// Tells files and their changes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    pub(super) size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self { file: (file.dev(), file.ino()), size: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
    }

    /// Of the file of that name, if there is one.
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

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// The end was reached.
    Nothing,
    /// There is more.
    More,
    /// The file is no longer what was read of it.
    Replaced,
}

#[derive(Debug)]
enum State {
    /// Not compared with what is known.
    Fresh,
    /// The beginning of a log read before, as far as it went when it had so many bytes.
    Copy(u64),
    /// Read up to its position.
    Reading(Box<Paused>),
}

/// One file that is being written, under whatever name.
#[derive(Debug)]
pub(super) struct Growing {
    name: String,
    file: File,
    /// When it was last read.
    stamp: Stamp,
    quiet_since: Instant,
    state: State,
    position: u64,
    /// The bytes before the position.
    tail: Vec<u8>,
}

impl Growing {
    pub(super) fn new(name: String, file: File, now: Instant) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file that could be followed"));
        }
        let (stamp, state) = (Stamp::of(&metadata), State::Fresh);
        Ok(Self { name, file, stamp, quiet_since: now, state, position: 0, tail: Vec::new() })
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn has_grown(&self) -> bool {
        self.file.metadata().map_or(true, |file| Stamp::of(&file) != self.stamp)
    }

    /// Begins to wait for the last of its writers.
    pub(super) fn put_aside(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    pub(super) fn is_quiet(&self, now: Instant, time: Duration) -> bool {
        now.saturating_duration_since(self.quiet_since) >= time
    }

    /// Begins anew with the next read, from what is recorded.
    pub(super) fn forget(&mut self) {
        (self.state, self.position) = (State::Fresh, 0);
        self.tail.clear();
    }

    /// The content from its first byte on; nothing while the first line is not whole, since logs are told apart by it.
    pub(super) fn input(&self) -> io::Result<Option<Input>> {
        let mut start = vec![0; FIRST_LINE];
        let count = read_at(&self.file, &mut start, 0)?;
        let is_whole = count == FIRST_LINE || memchr(b'\n', &start[..count]).is_some();
        if is_whole { Input::file(self.name.clone(), self.file.try_clone()?).map(Some) } else { Ok(None) }
    }

    /// Compares it with what is known; nothing if it is too short for that.
    pub(super) fn start<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        ledger: &mut L,
    ) -> Result<Option<Found>, IngestError<L::Error>> {
        self.forget();
        let size = self.metadata()?.size;
        let Some(mut input) = self.input().map_err(|error| self.failed(error))? else { return Ok(None) };
        let (found, feeder) = input.start(rules, ledger)?;
        let Some(feeder) = feeder else {
            self.state = State::Copy(size);
            return Ok(Some(found));
        };
        let position = feeder.position();
        let length = usize::try_from(position).unwrap_or(TAIL).min(TAIL);
        let mut tail = vec![0; length];
        let count = read_at(&self.file, &mut tail, position - length as u64);
        tail.truncate(count.map_err(|error| self.failed(error))?);
        let (_, paused) = feeder.pause(String::new());
        (self.state, self.position, self.tail) = (State::Reading(Box::new(paused)), position, tail);
        Ok(Some(found))
    }

    /// Reads up to a batch and records it.
    pub(super) fn read<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
        now: Instant,
    ) -> Result<Read, IngestError<L::Error>> {
        let stamp = self.metadata()?;
        if stamp.size != self.stamp.size {
            self.quiet_since = now;
        }
        let is_unsure = match self.state {
            State::Fresh => true,
            State::Copy(size) => size != stamp.size,
            State::Reading(_) => false,
        };
        if is_unsure {
            self.start(rules, ledger)?;
        }
        let read = match std::mem::replace(&mut self.state, State::Fresh) {
            State::Reading(paused) => {
                let mut feeder = paused.resume(rules)?;
                let read = self.feed(&mut feeder, options).map_err(|error| self.failed(error))?;
                let (parsed, mut paused) = feeder.pause(ledger.pack_name());
                if let Some(id) = record(parsed, options, ledger)? {
                    paused.recorded(id);
                }
                self.state = State::Reading(Box::new(paused));
                read
            }
            state => {
                self.state = state;
                Read::Nothing
            }
        };
        // Only now: what failed is news the next time too.
        self.stamp = stamp;
        Ok(read)
    }

    /// Counts a last line that has no line end, since none will come.
    pub(super) fn finish<L: Ledger>(
        &mut self,
        rules: &Rules<'_>,
        options: &Options,
        ledger: &mut L,
    ) -> Result<(), IngestError<L::Error>> {
        let State::Reading(paused) = std::mem::replace(&mut self.state, State::Fresh) else { return Ok(()) };
        let (parsed, _) = paused.resume(rules)?.finish(ledger.pack_name());
        record(parsed, options, ledger).map(|_| ())
    }

    fn feed(&mut self, feeder: &mut Feeder<'_>, options: &Options) -> io::Result<Read> {
        let mut chunk = vec![0; TAIL + CHUNK.min(options.batch_bytes).max(1)];
        while feeder.pending() < options.batch_bytes {
            let count = read_at(&self.file, &mut chunk, self.position - self.tail.len() as u64)?;
            let read = &chunk[..count];
            let Some(new) = read.strip_prefix(&*self.tail) else { return Ok(Read::Replaced) };
            if new.is_empty() {
                return Ok(Read::Nothing);
            }
            feeder.feed(new);
            self.position += new.len() as u64;
            self.tail = read[count.saturating_sub(TAIL)..].to_vec();
        }
        Ok(Read::More)
    }

    fn metadata<E: std::error::Error>(&self) -> Result<Stamp, IngestError<E>> {
        self.file.metadata().map(|file| Stamp::of(&file)).map_err(|error| self.failed(error))
    }

    fn failed<E: std::error::Error>(&self, source: io::Error) -> IngestError<E> {
        IngestError::Read { name: self.name.clone(), source }
    }
}

/// Records what there is to record; under which number.
fn record<L: Ledger>(
    parsed: Parsed,
    options: &Options,
    ledger: &mut L,
) -> Result<Option<i64>, IngestError<L::Error>> {
    if parsed.is_empty() {
        return Ok(None);
    }
    let batch = parsed.pack(options.compression).map_err(IngestError::Pack)?;
    ledger.record(batch).map(Some).map_err(IngestError::Ledger)
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
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
