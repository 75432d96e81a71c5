//! Gzip assembler: writes one gzip file from several, some compressed anew and some copied.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::error::{ArchiveError, failed};

/// Gzip level of sealed files: they are kept for months, so compression is worth its time.
const LEVEL: Compression = Compression::new(6);

/// Writer that counts and digests the bytes that it passes on.
pub(super) struct DigestWriter<W> {
    inner: W,
    size: u64,
    sha256: Sha256,
}

impl<W> DigestWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, size: 0, sha256: Sha256::new() }
    }

    /// Number of bytes, and their SHA-256.
    pub(super) fn finish(self) -> (u64, [u8; 32]) {
        (self.size, self.sha256.finalize().into())
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.size += count as u64;
        self.sha256.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Gzip file that is being written.
pub(super) struct GzipAssembler<'a, W: Write> {
    state: State<W>,
    path: &'a Path,
    chunk: Vec<u8>,
}

enum State<W: Write> {
    /// Between two gzip members.
    BetweenMembers(W),
    /// Within a gzip member that is made of several.
    InMember(Box<GzEncoder<W>>),
    /// After a write that failed.
    Broken,
}

impl<'a, W: Write> GzipAssembler<'a, W> {
    pub(super) fn new(into: W, path: &'a Path) -> Self {
        Self { state: State::BetweenMembers(into), path, chunk: vec![0; 64 << 10] }
    }

    /// Decompresses a gzip file and compresses its content together with that of its neighbours.
    pub(super) fn recompress(&mut self, gzip: impl Read, from: &Path) -> Result<(), ArchiveError> {
        let mut member = match std::mem::replace(&mut self.state, State::Broken) {
            State::BetweenMembers(file) => Box::new(GzEncoder::new(file, LEVEL)),
            State::InMember(member) => member,
            State::Broken => return Err(self.broken()),
        };
        self.copy_bytes(MultiGzDecoder::new(gzip), from, &mut member)?;
        self.state = State::InMember(member);
        Ok(())
    }

    /// Copies a gzip file as it is.
    pub(super) fn copy(&mut self, gzip: impl Read, from: &Path) -> Result<(), ArchiveError> {
        let mut file = self.end_member()?;
        self.copy_bytes(gzip, from, &mut file)?;
        self.state = State::BetweenMembers(file);
        Ok(())
    }

    /// Ends the file and returns its writer.
    pub(super) fn finish(mut self) -> Result<W, ArchiveError> {
        self.end_member()
    }

    fn end_member(&mut self) -> Result<W, ArchiveError> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::BetweenMembers(file) => Ok(file),
            State::InMember(member) => member.finish().map_err(failed("write", self.path)),
            State::Broken => Err(self.broken()),
        }
    }

    fn copy_bytes(
        &mut self,
        mut from: impl Read,
        name: &Path,
        into: &mut impl Write,
    ) -> Result<(), ArchiveError> {
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
