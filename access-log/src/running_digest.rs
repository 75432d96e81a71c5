//! Running digest: identifies the content of a log while it is read, line by line.
//!
//! It leaves a *trail* of *marks*: 32 bits of the digest after each of the first 1,024 lines, and from there on after every
//! 256th part more lines. So two logs can be compared at any mark that both have reached, without either being read again.

use std::fmt;

/// Lines that are marked one by one.
pub(crate) const EXACT_LINES: u64 = 1024;
/// Most marks of a trail: it takes more lines than a log can have to reach them, and bounds a checkpoint to 36 KiB.
pub(crate) const MAX_MARKS: usize = 6500;

pub(crate) type Digest = [u8; 16];

pub(crate) fn keyed(context: &str) -> blake3::Hasher {
    blake3::Hasher::new_derive_key(context)
}

/// Digest of what `hasher` has taken in and `more`.
pub(crate) fn digest(hasher: &blake3::Hasher, more: &[u8]) -> Digest {
    let mut hasher = hasher.clone();
    hasher.update(more);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

/// Digest of a log's whole lines so far, with its trail.
#[derive(Clone)]
pub(crate) struct RunningDigest {
    pub(crate) lines: u64,
    /// Bytes of the whole lines.
    pub(crate) length: u64,
    /// Keyed with the digest at the last mark, so it stands for all content.
    hasher: blake3::Hasher,
    pub(crate) trail: Vec<u32>,
    /// Number of lines at which the next mark is due.
    next_mark: u64,
}

impl RunningDigest {
    pub(crate) fn new() -> Self {
        Self {
            lines: 0,
            length: 0,
            hasher: keyed("pilothouse access log: content"),
            trail: Vec::new(),
            next_mark: 1,
        }
    }

    /// Takes in bytes in which no mark is due, except perhaps at their end.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// Counts a line. Whether a mark is due, once all bytes of the line were taken in.
    pub(crate) fn end_line(&mut self) -> bool {
        self.lines += 1;
        self.lines == self.next_mark
    }

    /// Sets the mark that [`Self::end_line`] asked for.
    pub(crate) fn mark(&mut self) {
        let digest = self.hasher.finalize();
        self.hasher = blake3::Hasher::new_keyed(digest.as_bytes());
        if self.trail.len() < MAX_MARKS {
            let &[a, b, c, d, ..] = digest.as_bytes();
            self.trail.push(u32::from_le_bytes([a, b, c, d]));
        }
        self.next_mark += if self.next_mark < EXACT_LINES { 1 } else { self.next_mark / 256 };
    }

    /// Digest of everything so far and `more`.
    pub(crate) fn digest(&self, more: &[u8]) -> Digest {
        digest(&self.hasher, more)
    }
}

impl fmt::Debug for RunningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningDigest")
            .field("lines", &self.lines)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
