//! Recent lines: a checksum of each of the last lines read, so that the place where a log lost its end is found exactly.
//!
//! The trail of a long log has a mark every 256th part of its lines, which is too coarse to tell a line that was lost from one
//! that was written afterwards. The checksums of the last 1,024 to 2,048 lines tell them apart. They begin at an *anchor*, a
//! digest of all that comes before, so that nothing depends on where the marks happen to be.

use flate2::Crc;

use crate::running_digest::{Digest, RunningDigest};

/// Least number of lines remembered, once so many were read in chunks of at most [`CHUNK_END`].
const WINDOW: usize = 1024;
/// Bytes at the end of a chunk whose lines are remembered: all of them would cost more than the parsing may take.
pub(crate) const CHUNK_END: usize = 64 << 10;
/// Most lines remembered, which bounds an encoded checkpoint.
pub(crate) const MAX_RECENT: usize = 2 * WINDOW;

/// Position between two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Number of lines before it.
    pub(crate) lines: u64,
    /// Digest of those.
    pub(crate) digest: Digest,
}

impl Anchor {
    pub(crate) fn at(digest: &RunningDigest) -> Self {
        Self { lines: digest.lines, digest: digest.digest(b"") }
    }
}

/// Checksums of the lines after an anchor, up to the last line read; none without an anchor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecentLines {
    anchor: Option<Anchor>,
    checksums: Vec<u32>,
    /// Later anchor, which takes over when enough lines follow it.
    next: Option<Anchor>,
}

impl RecentLines {
    /// Lines as a checkpoint holds them.
    pub(crate) fn new(anchor: Anchor, checksums: Vec<u32>) -> Self {
        Self { anchor: Some(anchor), checksums, next: None }
    }

    pub(crate) fn anchor(&self) -> Option<&Anchor> {
        self.anchor.as_ref()
    }

    pub(crate) fn checksums(&self) -> &[u32] {
        &self.checksums
    }

    /// Checksum of the line with this number, the first being 1.
    pub(crate) fn checksum(&self, number: u64) -> Option<u32> {
        let index = number.checked_sub(self.anchor.as_ref()?.lines + 1)?;
        self.checksums.get(usize::try_from(index).ok()?).copied()
    }

    /// Forgets everything, because a line is passed over.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Forgets the lines beyond the first `lines` of the log.
    pub(crate) fn truncate(mut self, lines: u64) -> Self {
        let kept = self.anchor.as_ref().and_then(|anchor| lines.checked_sub(anchor.lines));
        match kept.map(usize::try_from) {
            Some(Ok(kept)) if kept <= self.checksums.len() => {
                self.checksums.truncate(kept);
                Self { next: None, ..self }
            }
            _ => Self::default(),
        }
    }

    /// Adds the next line, with its line end. `digest` is that of the lines before it, which the first line needs.
    pub(crate) fn push(&mut self, line: &[u8], digest: impl FnOnce() -> Anchor) {
        if self.anchor.is_none() {
            *self = Self::new(digest(), Vec::with_capacity(MAX_RECENT));
        }
        let mut checksum = Crc::new();
        checksum.update(line);
        self.checksums.push(checksum.sum());
    }

    /// Whether [`Self::turn`] is to be called.
    pub(crate) fn is_due(&self) -> bool {
        self.checksums.len() - self.before_next() >= WINDOW
    }

    /// Sets an anchor after the last line, and forgets the lines before the one set last.
    pub(crate) fn turn(&mut self, here: Anchor) {
        let forgotten = self.before_next();
        if let Some(anchor) = self.next.replace(here) {
            self.checksums.drain(..forgotten);
            self.anchor = Some(anchor);
        }
    }

    /// Number of checksums before the next anchor.
    fn before_next(&self) -> usize {
        let (Some(anchor), Some(next)) = (&self.anchor, &self.next) else { return 0 };
        usize::try_from(next.lines - anchor.lines).unwrap_or(usize::MAX).min(self.checksums.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_one_and_two_windows_are_remembered() {
        let mut recent = RecentLines::default();
        for number in 0..10_000_u64 {
            recent.push(number.to_string().as_bytes(), || Anchor { lines: 100, digest: [0; 16] });
            if recent.is_due() {
                recent.turn(Anchor { lines: 101 + number, digest: [1; 16] });
            }
            let least = WINDOW.min(usize::try_from(number + 1).unwrap());
            assert!((least..=MAX_RECENT).contains(&recent.checksums.len()), "{number}");
            let anchor = recent.anchor.as_ref().unwrap();
            assert_eq!(anchor.lines + recent.checksums.len() as u64, 101 + number);
        }
        let mut checksum = Crc::new();
        checksum.update(b"9999");
        assert_eq!(recent.checksum(10_100), Some(checksum.sum()));
        assert_eq!((recent.checksum(10_101), recent.checksum(100)), (None, None));
        let shorter = recent.clone().truncate(10_000);
        assert_eq!((shorter.checksum(10_000), shorter.checksum(10_001)), (recent.checksum(10_000), None));
        assert_eq!(recent.truncate(50), RecentLines::default());
    }
}
