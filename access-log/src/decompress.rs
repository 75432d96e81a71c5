//! Decompression of inputs, recognised by their first bytes.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use crate::input::CHUNK;

/// Bytes that tell how an input is compressed.
const MAGIC: usize = 10;

/// First bytes of compressed files that cannot be read, with the name of their compression.
const UNSUPPORTED: [(&[u8], &str); 6] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x9d", "compress"),
];

/// Reader that decompresses `raw` if its first bytes, which are read with the first read, say that it is gzip. It fails if they
/// are those of another compression.
pub(crate) fn decoded(raw: impl Read + 'static) -> Box<dyn Read> {
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
            let mut magic = Vec::with_capacity(MAGIC);
            raw.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
            if let Some(name) = unsupported(&magic) {
                let why = format!("is compressed with {name}; of compressed logs only gzip can be read");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
            let whole = Cursor::new(magic).chain(raw);
            *self = Self::Decided(if is_gzip {
                let reader: Box<dyn Read> = Box::new(whole);
                Box::new(Gzip::Member(Box::new(GzDecoder::new(BufReader::with_capacity(CHUNK, reader)))))
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

/// Name of the compression that cannot be read.
fn unsupported(magic: &[u8]) -> Option<&'static str> {
    let (_, name) = UNSUPPORTED.iter().find(|(start, _)| magic.starts_with(start))?;
    // Three letters may begin a line as well.
    let is_bzip2 = || magic[3..].first().is_some_and(u8::is_ascii_digit) && magic.ends_with(b"1AY&SY");
    (*name != "bzip2" || is_bzip2()).then_some(name)
}

/// Decoder of several gzip members. Zeros after the last one, which tapes and block devices leave, are ignored, as gzip itself
/// does; anything else there is an error.
enum Gzip {
    Member(Box<GzDecoder<BufReader<Box<dyn Read>>>>),
    Ended,
}

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Self::Member(member) = self {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Self::Member(member) = std::mem::replace(self, Self::Ended) else { break };
            let mut reader = member.into_inner();
            if !skip_zeros(&mut reader)? {
                *self = Self::Member(Box::new(GzDecoder::new(reader)));
            }
        }
        Ok(0)
    }
}

/// Skips zeros; whether the input ends after them.
fn skip_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_more = zeros < bytes.len();
        reader.consume(zeros);
        if is_more {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    fn read(raw: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decoded(Cursor::new(raw.to_vec())).read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn members_are_one_content_and_zeros_after_them_are_none() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&members).unwrap(), b"one two");
        for zeros in [1, 100, CHUNK + 1] {
            assert_eq!(read(&[&*members, &vec![0; zeros]].concat()).unwrap(), b"one two");
        }
        assert!(read(&[&*members, b"\0\0x"].concat()).is_err());
        assert!(read(&members[..members.len() - 1]).is_err());
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn other_compression_is_refused_by_its_name() {
        for (start, name) in UNSUPPORTED {
            let rest: &[u8] = if name == "bzip2" { b"91AY&SY" } else { b"whatever follows" };
            let refused = read(&[start, rest].concat()).unwrap_err();
            assert!(refused.to_string().starts_with(&format!("is compressed with {name};")), "{refused}");
        }
        for text in ["BZh.example.com 1.2.3.4", "BZh", "PK", "P"] {
            assert_eq!(read(text.as_bytes()).unwrap(), text.as_bytes());
        }
    }
}
