//! SHA-256 of contents: the type, and copying with hashing.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 as 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Sha256Hex(String);

impl Sha256Hex {
    /// Hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_digest =
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_digest { Ok(Self(text)) } else { Err("a SHA-256 must be 64 lower-case hexadecimal digits") }
    }
}

/// Hash and length of copied bytes.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) sha256: Sha256Hex,
    pub(crate) size: u64,
}

/// Copies at most `limit` bytes and hashes them.
pub(crate) fn copy_hashed(from: &mut impl Read, to: &mut impl Write, limit: u64) -> io::Result<Copied> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size: u64 = 0;
    while size < limit {
        let room = usize::try_from(limit - size).unwrap_or(usize::MAX).min(buffer.len());
        let count = match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
    Ok(Copied { sha256: Sha256Hex(hex::encode(hasher.finalize())), size })
}

/// Hashes everything up to the end.
pub(crate) fn hash(from: &mut impl Read) -> io::Result<Copied> {
    copy_hashed(from, &mut io::sink(), u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256Hex::of(b"abc").as_str(), abc);
        assert_eq!(hash(&mut &b"abc"[..]).unwrap().sha256.as_str(), abc);
    }

    #[test]
    fn copying_stops_at_the_limit() {
        let mut copy = Vec::new();
        let copied = copy_hashed(&mut &b"abcdef"[..], &mut copy, 3).unwrap();
        assert_eq!((copied.size, copied.sha256), (3, Sha256Hex::of(b"abc")));
        assert_eq!(copy, b"abc");
    }

    #[test]
    fn only_lower_case_digests_are_accepted() {
        for text in ["", "ab", &"A".repeat(64), &"g".repeat(64), &"a".repeat(65)] {
            assert!(Sha256Hex::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(Sha256Hex::try_from("0".repeat(64)).is_ok());
    }
}
