//! Log input: a file or a stream, gzipped or not.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;

use memchr::memchr;

use crate::IngestError;
use crate::decompress::decoded;
use crate::fingerprint::FIRST_LINE;

/// Bytes read at once: they fit the processor's cache beside what parsing needs.
pub(crate) const CHUNK: usize = 256 << 10;

/// Log to be read. Gzip is recognised by its first bytes, whatever the name; several gzip members are one content. Other
/// compression is refused by its name.
pub struct Input {
    name: String,
    origin: Origin,
    reader: Box<dyn Read>,
    /// Bytes read ahead, which are served first.
    ahead: Cursor<Vec<u8>>,
    position: u64,
}

enum Origin {
    File(File),
    /// Temporary file with the decoded content of a stream.
    Spooled(File),
    Stream,
}

impl Input {
    /// Opens a file. A pipe or terminal behind the name is read as a stream.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let name = path.display().to_string();
        let kind = file.metadata()?;
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, not a log"));
        }
        if !kind.is_file() {
            return Ok(Self::stream(name, file));
        }
        Self::file(name, file)
    }

    /// Reads an open file from its first byte on. `name` is what errors call it by.
    pub fn file(name: String, mut file: File) -> io::Result<Self> {
        file.rewind()?;
        let reader = decoded(file.try_clone()?);
        Ok(Self { name, origin: Origin::File(file), reader, ahead: Cursor::default(), position: 0 })
    }

    /// Reads a stream, such as standard input. If it may continue a known log it is copied to a temporary file first, since
    /// that shows only after reading beyond the place to go back to.
    pub fn stream(name: impl Into<String>, stream: impl Read + 'static) -> Self {
        Self {
            name: name.into(),
            origin: Origin::Stream,
            reader: decoded(stream),
            ahead: Cursor::default(),
            position: 0,
        }
    }

    /// Name that errors call it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn error<E: std::error::Error>(&self, source: io::Error) -> IngestError<E> {
        IngestError::Read { name: self.name.clone(), source }
    }

    /// Bytes of the log read, before compression.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// First line without its LF, at most 64 KiB of it. Nothing is consumed.
    pub(crate) fn first_line(&mut self) -> io::Result<Vec<u8>> {
        let start = self.peek(FIRST_LINE, |ahead| memchr(b'\n', ahead).is_some())?;
        Ok(start[..memchr(b'\n', start).unwrap_or(start.len()).min(FIRST_LINE)].to_vec())
    }

    /// Bytes at the beginning: at least `bytes`, unless the log is shorter or `is_enough` says that fewer will do. Nothing is
    /// consumed.
    pub(crate) fn peek(&mut self, bytes: usize, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        let mut chunk = Vec::new();
        while self.ahead.get_ref().len() < bytes && !is_enough(self.ahead.get_ref()) {
            chunk.resize(bytes, 0);
            match read_some(&mut self.reader, &mut chunk)? {
                0 => break,
                count => self.ahead.get_mut().extend_from_slice(&chunk[..count]),
            }
        }
        Ok(self.ahead.get_ref())
    }

    /// Puts back the last bytes read.
    pub(crate) fn unread(&mut self, mut bytes: Vec<u8>) {
        self.position -= bytes.len() as u64;
        let read = usize::try_from(self.ahead.position()).unwrap_or(usize::MAX);
        bytes.extend_from_slice(self.ahead.get_ref().get(read..).unwrap_or_default());
        self.ahead = Cursor::new(bytes);
    }

    /// Makes [`Self::rewind`] possible. It must be called before anything is consumed.
    pub(crate) fn make_rewindable(&mut self) -> io::Result<()> {
        if matches!(self.origin, Origin::Stream) {
            let mut spool = tempfile::tempfile()?;
            spool.write_all(self.ahead.get_ref())?;
            io::copy(&mut self.reader, &mut spool)?;
            self.origin = Origin::Spooled(spool);
        }
        self.rewind()
    }

    /// Goes back to the first byte.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        self.position = 0;
        match &mut self.origin {
            Origin::File(file) => {
                file.rewind()?;
                self.reader = decoded(file.try_clone()?);
            }
            Origin::Spooled(file) => {
                file.rewind()?;
                self.reader = Box::new(file.try_clone()?);
            }
            Origin::Stream => {
                self.ahead.set_position(0);
                return Ok(());
            }
        }
        self.ahead = Cursor::default();
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.ahead.read(buffer)? {
            0 => read_some(&mut self.reader, buffer)?,
            count => count,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
