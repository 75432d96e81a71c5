//! Where a log comes from: a file or a stream, gzipped or not.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use memchr::memchr;

use crate::source::FIRST_LINE;

/// Read at once: fits the processor's cache beside what parsing needs.
pub(crate) const CHUNK: usize = 256 << 10;

/// One log to read. Gzip is recognised by its first bytes, whatever the name; several members are one content.
pub struct Input {
    name: String,
    origin: Origin,
    reader: Box<dyn Read>,
    /// Read ahead; served first.
    ahead: Cursor<Vec<u8>>,
    position: u64,
}

enum Origin {
    File(File),
    /// A stream's content, decoded, in a temporary file.
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

    /// Reads an open file from its first byte on.
    pub(crate) fn file(name: String, mut file: File) -> io::Result<Self> {
        file.rewind()?;
        let reader = decoded(file.try_clone()?);
        Ok(Self { name, origin: Origin::File(file), reader, ahead: Cursor::default(), position: 0 })
    }

    /// Reads a stream, such as standard input. If it may continue a known log it is copied to a temporary file first,
    /// because whether it does shows only later.
    pub fn stream(name: impl Into<String>, stream: impl Read + 'static) -> Self {
        Self {
            name: name.into(),
            origin: Origin::Stream,
            reader: decoded(stream),
            ahead: Cursor::default(),
            position: 0,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the log read, before compression.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first line without its LF, at most 64 KiB of it. Nothing is consumed.
    pub(crate) fn first_line(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; FIRST_LINE];
        let mut end = None;
        while end.is_none() && self.ahead.get_ref().len() < FIRST_LINE {
            match read_some(&mut self.reader, &mut chunk)? {
                0 => break,
                count => self.ahead.get_mut().extend_from_slice(&chunk[..count]),
            }
            end = memchr(b'\n', self.ahead.get_ref());
        }
        let ahead = self.ahead.get_ref();
        Ok(ahead[..end.unwrap_or(ahead.len()).min(FIRST_LINE)].to_vec())
    }

    /// Gives back the last bytes read.
    pub(crate) fn unread(&mut self, bytes: Vec<u8>) {
        self.position -= bytes.len() as u64;
        self.ahead = Cursor::new(bytes);
    }

    /// Makes sure that [`Self::rewind`] works. Call before anything is consumed.
    pub(crate) fn make_rewindable(&mut self) -> io::Result<()> {
        if matches!(self.origin, Origin::Stream) {
            let mut spool = tempfile::tempfile()?;
            spool.write_all(self.ahead.get_ref())?;
            io::copy(&mut self.reader, &mut spool)?;
            self.origin = Origin::Spooled(spool);
        }
        self.rewind()
    }

    /// Back to the first byte.
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

/// Looks at the first two bytes when it is first read, and unpacks what is gzip.
fn decoded(raw: impl Read + 'static) -> Box<dyn Read> {
    Box::new(Decoded::Undecided(Some(Box::new(raw))))
}

enum Decoded {
    Undecided(Option<Box<dyn Read>>),
    Decided(Box<dyn Read>),
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Undecided(raw) = self {
            let mut raw = raw.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let mut magic = Vec::with_capacity(2);
            raw.by_ref().take(2).read_to_end(&mut magic)?;
            let is_gzip = magic == [0x1f, 0x8b];
            let whole = Cursor::new(magic).chain(raw);
            *self = Self::Decided(if is_gzip {
                Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, whole)))
            } else {
                Box::new(whole)
            });
        }
        match self {
            Self::Decided(reader) => reader.read(buffer),
            Self::Undecided(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
