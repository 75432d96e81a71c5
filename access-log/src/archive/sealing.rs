//! Writing one gzip file of many.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{ArchiveError, failed};

/// Of gzip: these bytes are kept for months.
const LEVEL: Compression = Compression::new(6);

/// Counts and digests what it passes on.
pub(super) struct Summed<'a, W>(pub(super) W, pub(super) &'a mut (u64, Sha256));

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.0 += count as u64;
        self.1.1.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A gzip file in the making.
pub(super) struct Sealing<'a, W: Write> {
    into: Into<W>,
    path: &'a Path,
    chunk: Vec<u8>,
}

enum Into<W: Write> {
    /// Between members.
    File(W),
    /// In a member that is made of several.
    Member(Box<GzEncoder<W>>),
    /// A write failed.
    Nothing,
}

impl<'a, W: Write> Sealing<'a, W> {
    pub(super) fn new(into: W, path: &'a Path) -> Self {
        Self { into: Into::File(into), path, chunk: vec![0; 64 << 10] }
    }

    /// Adds what a gzip file says.
    pub(super) fn repack(&mut self, packed: impl Read, from: &Path) -> Result<(), ArchiveError> {
        let mut member = match std::mem::replace(&mut self.into, Into::Nothing) {
            Into::File(file) => Box::new(GzEncoder::new(file, LEVEL)),
            Into::Member(member) => member,
            Into::Nothing => return Err(self.broken()),
        };
        self.pass(MultiGzDecoder::new(packed), from, &mut member)?;
        self.into = Into::Member(member);
        Ok(())
    }

    /// Adds a gzip file as it is.
    pub(super) fn copy(&mut self, packed: impl Read, from: &Path) -> Result<(), ArchiveError> {
        let mut file = self.end_member()?;
        self.pass(packed, from, &mut file)?;
        self.into = Into::File(file);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        self.end_member().map(|_| ())
    }

    fn end_member(&mut self) -> Result<W, ArchiveError> {
        match std::mem::replace(&mut self.into, Into::Nothing) {
            Into::File(file) => Ok(file),
            Into::Member(member) => member.finish().map_err(failed("write", self.path)),
            Into::Nothing => Err(self.broken()),
        }
    }

    fn pass(&mut self, mut from: impl Read, name: &Path, into: &mut impl Write) -> Result<(), ArchiveError> {
        loop {
            let count = match from.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failed("read", name))?,
            };
            if count == 0 {
                return Ok(());
            }
            into.write_all(&self.chunk[..count]).map_err(failed("write", self.path))?;
        }
    }

    fn broken(&self) -> ArchiveError {
        failed("write", self.path)(io::ErrorKind::BrokenPipe.into())
    }
}
