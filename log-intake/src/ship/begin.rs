//! First start of shipping a log: which byte of it comes next, and which files are older.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::Compression;
use pilothouse_access_log::{IncrementalParser, IngestError, IngestOptions, Input, Ledger, ingest};

use super::delivery::{Answer, Delivery, gzip};
use super::entry::{EdgeName, Entry};
use super::error::ShipError;
use super::journal::Durability;
use super::ledger::{PositionLedger, rules};
use super::server::{LogServer, ShipEvent};
use super::{ShipFrom, ShippedLog};

/// Bytes that a server remembers of the beginning of a stream, and of its end.
const REMEMBERED: u64 = 64;

impl<S: LogServer> Delivery<'_, S> {
    /// Asks the server how far it is. At the first start that is where the stream goes on; later it must be as far as is known
    /// here, or gets again what it lost.
    pub(super) fn begin(&mut self) -> Result<(), ShipError> {
        if self.journal.state().offset().is_some() && self.log.from.is_some() {
            return Err(ShipError::BegunBefore { path: self.log.state.clone() });
        }
        let wanted = self.ask()?;
        if self.journal.state().offset().is_some() {
            self.reconcile(wanted)?;
        } else {
            // A log that is rotated meanwhile would be taken for one that was rotated before.
            while !self.pass_over_known(wanted)? {}
            self.journal.append(Entry::Taken(wanted), Durability::Flushed)?;
        }
        self.server.report(ShipEvent::Began { offset: self.journal.state().offset().unwrap_or_default() });
        Ok(())
    }

    /// Remembers what is not shipped, where the server wants this offset. Whether the log was the same file all the time.
    fn pass_over_known(&mut self, wanted: u64) -> Result<bool, ShipError> {
        let file = self.open()?;
        let first = self.first_byte(file.as_ref(), wanted)?;
        // An earlier attempt may have left positions.
        let ShippedLog { cdn, edge, .. } = self.log.clone();
        self.journal.append(Entry::Edge(EdgeName { cdn, edge }), Durability::Relaxed)?;
        self.pass_over_rotated()?;
        if let Some(file) = &file {
            self.pass_over_beginning(file, first)?;
        }
        let id = |file: &File| file.metadata().map(|file| (file.dev(), file.ino()));
        let opened = file.as_ref().map(id).transpose().map_err(|error| self.unreadable(error))?;
        let named = self.open()?.as_ref().map(id).transpose().map_err(|error| self.unreadable(error))?;
        Ok(opened == named)
    }

    /// First byte of the log that is shipped, where the server wants this offset.
    fn first_byte(&mut self, file: Option<&File>, wanted: u64) -> Result<u64, ShipError> {
        let Some(file) = file else {
            return match self.log.from {
                Some(ShipFrom::Byte(byte @ 1..)) => Err(self.no_line(byte)),
                None if wanted > 0 => Err(self.unknown_beginning(wanted)),
                _ => Ok(0),
            };
        };
        match self.log.from {
            Some(ShipFrom::Start) => {
                self.check_unshipped(file, wanted)?;
                Ok(0)
            }
            Some(ShipFrom::End) => last_line_end(file).map_err(|error| self.unreadable(error)),
            Some(ShipFrom::Byte(byte)) => {
                if !self.is_line(file, byte)? {
                    return Err(self.no_line(byte));
                }
                if byte > 0 && !self.agrees_before(file, byte, wanted)? {
                    return Err(ShipError::NotFollowing { byte, log: self.log.path.clone() });
                }
                Ok(byte)
            }
            None if wanted == 0 => Ok(0),
            None => {
                let begins_so = self.is_line(file, wanted)?
                    && self.agrees_before(file, wanted, wanted)?
                    && self.agrees_before(file, REMEMBERED.min(wanted), REMEMBERED.min(wanted))?;
                if begins_so { Ok(wanted) } else { Err(self.unknown_beginning(wanted)) }
            }
        }
    }

    /// Refuses a file whose first bytes are those that the stream begins with, or whose last are those that it ends with.
    fn check_unshipped(&mut self, file: &File, wanted: u64) -> Result<(), ShipError> {
        let end = last_line_end(file).map_err(|error| self.unreadable(error))?;
        let compared = REMEMBERED.min(end).min(wanted);
        if compared > 0
            && (self.agrees_before(file, compared, compared)? || self.agrees_before(file, end, wanted)?)
        {
            return Err(ShipError::ShippedBefore { log: self.log.path.clone() });
        }
        Ok(())
    }

    /// Whether a line begins at this byte.
    fn is_line(&self, file: &File, byte: u64) -> Result<bool, ShipError> {
        let Some(before) = byte.checked_sub(1) else { return Ok(true) };
        let mut end = [0];
        let read = file.read_at(&mut end, before).map_err(|error| self.unreadable(error))?;
        Ok(read == 1 && end == *b"\n")
    }

    /// Whether the server has taken the last bytes of the file before `byte` as those of the stream before `offset`. Nothing
    /// is taken by asking, since the server has everything up to there.
    fn agrees_before(&mut self, file: &File, byte: u64, offset: u64) -> Result<bool, ShipError> {
        let length = REMEMBERED.min(byte).min(offset);
        if length == 0 {
            return Ok(true);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = file.read_exact_at(&mut bytes, byte - length).and_then(|()| gzip(&bytes));
        let gzip = read.map_err(|error| self.unreadable(error))?;
        Ok(matches!(self.send(offset - length, &gzip)?, Answer::Wanted(wanted) if wanted >= offset))
    }

    /// Remembers the newest file that was rotated already, so that neither it nor older ones are taken for new.
    fn pass_over_rotated(&mut self) -> Result<(), ShipError> {
        let listed = self.log.follower().rotated_files();
        for path in listed.map_err(|error| self.unreadable(error))? {
            let Ok(input) = Input::open(&path) else { continue };
            let mut ledger = PositionLedger { journal: &mut self.journal };
            match ingest(input, &rules(), &IngestOptions::default(), &mut ledger) {
                Ok(_) => return Ok(()),
                Err(IngestError::Ledger(error)) => return Err(error),
                // A file that cannot be read now cannot be later.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Remembers what the log has before its first byte that is shipped.
    fn pass_over_beginning(&mut self, file: &File, first: u64) -> Result<(), ShipError> {
        if first == 0 {
            return Ok(());
        }
        let failed = |error| ShipError::Read(Box::new(error));
        let mut parser = IncrementalParser::new(&rules()).map_err(|error| failed(error.into()))?;
        let mut left = first;
        let mut chunk = vec![0; 256 << 10];
        while left > 0 {
            let length = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = &mut chunk[..length];
            file.read_exact_at(part, first - left).map_err(|error| self.unreadable(error))?;
            parser.feed(part);
            left -= length as u64;
        }
        let batch = parser.take(String::new()).compress(Compression::fast().level());
        let batch = batch.map_err(|error| failed(IngestError::Compress(error)))?;
        PositionLedger { journal: &mut self.journal }.record(batch).map(|_| ())
    }

    fn open(&self) -> Result<Option<File>, ShipError> {
        match File::open(&self.log.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some).map_err(|error| self.unreadable(error)),
        }
    }

    fn unreadable(&self, source: io::Error) -> ShipError {
        ShipError::Log { path: self.log.path.clone(), source }
    }

    fn no_line(&self, byte: u64) -> ShipError {
        ShipError::NoLine { byte, log: self.log.path.clone() }
    }

    fn unknown_beginning(&self, wanted: u64) -> ShipError {
        let ShippedLog { state, path: log, .. } = self.log.clone();
        ShipError::UnknownBeginning { wanted, state, log }
    }
}

/// Offset after the last line end of a file.
fn last_line_end(file: &File) -> io::Result<u64> {
    let mut lines = BufReader::new(file);
    let (mut position, mut end) = (0, 0);
    loop {
        let length = lines.skip_until(b'\n')? as u64;
        if length == 0 {
            return Ok(end);
        }
        position += length;
        let mut last = [0];
        file.read_exact_at(&mut last, position - 1)?;
        if last == *b"\n" {
            end = position;
        }
    }
}
