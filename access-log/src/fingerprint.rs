//! Log fingerprint: a digest of the first line, by which the checkpoints of a log are found.

use std::fmt;

use crate::running_digest::{digest, keyed};

/// Bytes that [`Fingerprint::of_start`] reads. No shorter line can be billed in any format.
pub(crate) const START: usize = 16;
/// Most bytes that [`Fingerprint::of_first_line`] reads.
pub(crate) const FIRST_LINE: usize = 64 << 10;

/// Digest of the beginning of a log. Logs with different fingerprints have nothing in common; those with the same one are
/// told apart by their checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Fingerprint of a log of at least one whole line, given without its LF; only its first 64 KiB count.
    pub(crate) fn of_first_line(line: &[u8]) -> Self {
        Self(digest(&keyed("pilothouse access log: first line"), &line[..line.len().min(FIRST_LINE)]))
    }

    /// Fingerprint of a log that is nothing but the beginning of a line, which may have grown by the next reading.
    pub(crate) fn of_start(text: &[u8]) -> Option<Self> {
        Some(Self(digest(&keyed("pilothouse access log: start"), text.get(..START)?)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
