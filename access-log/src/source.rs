//! How content is recognised when it comes again: by what it says, not by its name.
//!
//! A *source* is a log as far as it was read. Its state holds a digest of all of it and a trail of *checkpoints*: 32 bits
//! of the running digest after each of the first 1,024 lines, and from there on after every 256th part more lines. So
//!
//! - an input that begins with all of a source is that source, grown: what follows is new;
//! - an input that a source begins with is a shorter copy: nothing is new. Up to 1,024 lines this is exact; beyond, an
//!   input that agrees up to the last checkpoint it reaches is taken for a copy cut short, though its last lines (at most
//!   1/256 of it) cannot be compared. So is one that ends in the middle of a line, if at least two lines agree;
//! - anything else is another log, and counted whole, however many lines it shares with a source. So is a copy that was
//!   cut within its first line.
//!
//! A state takes about 4 bytes a line for small logs, 11 KiB for a million lines, and never more than 32 KiB: after
//! [`MOST_CHECKPOINTS`] no more are made (which takes more lines than a log can have).
//!
//! A last line without a line end is counted when a file ends with it, and remembered as *open*. If the file grows and the
//! line with it, what was counted of it is withdrawn and the whole line counted instead.

use std::fmt;

use crate::aggregate::Verdict;
use crate::archive::MemberRef;

const EXACT_LINES: u64 = 1024;
const MOST_CHECKPOINTS: usize = 8000;
/// What [`SourceKey::of_start`] looks at. No shorter line can be billed in any format.
pub(crate) const START: usize = 16;
/// What [`SourceKey::of_first_line`] looks at, at most.
pub(crate) const FIRST_LINE: usize = 64 << 10;

pub(crate) type Digest = [u8; 16];

/// Sources with different keys have nothing in common: what a ledger finds the known sources of an edge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(pub [u8; 16]);

impl SourceKey {
    /// For logs of at least one whole line (given without its LF; only its first 64 KiB count).
    pub(crate) fn of_first_line(line: &[u8]) -> Self {
        Self(digest(&keyed("pilothouse access log: first line"), &line[..line.len().min(FIRST_LINE)]))
    }

    /// For logs of nothing but the beginning of a line; it may not have been the line yet that it will become.
    pub(crate) fn of_start(text: &[u8]) -> Option<Self> {
        Some(Self(digest(&keyed("pilothouse access log: start"), text.get(..START)?)))
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn keyed(context: &str) -> blake3::Hasher {
    blake3::Hasher::new_derive_key(context)
}

fn digest(hasher: &blake3::Hasher, more: &[u8]) -> Digest {
    let mut hasher = hasher.clone();
    hasher.update(more);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

/// Follows content line by line and draws its trail.
#[derive(Clone)]
pub(crate) struct Tracker {
    pub(crate) lines: u64,
    pub(crate) length: u64,
    /// Keyed with the digest at the last checkpoint, so it stands for all content.
    hasher: blake3::Hasher,
    checkpoints: Vec<u32>,
    next: u64,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            lines: 0,
            length: 0,
            hasher: keyed("pilothouse access log: content"),
            checkpoints: Vec::new(),
            next: 1,
        }
    }

    /// Takes in bytes that hold no checkpoint, except perhaps at their end.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// Counts a line; whether a checkpoint is due, once all its bytes were taken in.
    pub(crate) fn line(&mut self) -> bool {
        self.lines += 1;
        self.lines == self.next
    }

    /// Sets the checkpoint that [`Self::line`] asked for.
    pub(crate) fn checkpoint(&mut self) {
        let digest = self.hasher.finalize();
        self.hasher = blake3::Hasher::new_keyed(digest.as_bytes());
        if self.checkpoints.len() < MOST_CHECKPOINTS {
            self.checkpoints.push(short(digest.as_bytes()));
        }
        self.next += if self.next < EXACT_LINES { 1 } else { self.next / 256 };
    }

    /// The digest of everything so far and `more`.
    pub(crate) fn digest(&self, more: &[u8]) -> Digest {
        digest(&self.hasher, more)
    }

    /// Whether `source` has the same trail as far as this goes. Of the checkpoints before the last one this was asked before.
    pub(crate) fn agrees(&self, source: &Source) -> bool {
        match self.checkpoints.len().checked_sub(1) {
            Some(last) => source.checkpoints.get(last).is_none_or(|mark| *mark == self.checkpoints[last]),
            None => true,
        }
    }

    /// Whether `source` is as this would be with a line end; nothing if it has no checkpoint there.
    pub(crate) fn goes_on_with_line_end(&self, source: &Source) -> Option<bool> {
        let mut then = self.clone();
        then.bytes(b"\n");
        let is_checkpoint = then.line();
        if is_checkpoint {
            then.checkpoint();
        }
        if then.lines == source.lines {
            return Some(then.digest(b"") == source.digest);
        }
        is_checkpoint.then(|| then.agrees(source))
    }

    pub(crate) fn source(&self, open: Option<OpenLine>) -> Source {
        Source {
            lines: self.lines,
            length: self.length,
            digest: self.digest(b""),
            checkpoints: self.checkpoints.clone(),
            open,
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("lines", &self.lines)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

fn short(digest: &[u8; 32]) -> u32 {
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// A log as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Whole lines read.
    pub(crate) lines: u64,
    /// Their bytes, before compression.
    pub(crate) length: u64,
    /// Of all whole lines.
    pub(crate) digest: Digest,
    checkpoints: Vec<u32>,
    pub(crate) open: Option<OpenLine>,
}

/// A last line that was counted though it has no line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenLine {
    pub(crate) length: u32,
    /// Of all whole lines and this one.
    pub(crate) digest: Digest,
    pub(crate) counted: Verdict,
    /// Where its copy is kept, apart from the other lines.
    pub(crate) kept: Option<MemberRef>,
}

/// A stored state cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored log position is damaged, or of a newer version")]
pub struct DamagedSource;

impl Source {
    /// Bytes read, before compression: an open last line counts in.
    pub fn length(&self) -> u64 {
        self.length + self.open.as_ref().map_or(0, |open| u64::from(open.length))
    }

    /// Lines read: an open last line counts in.
    pub fn lines(&self) -> u64 {
        self.lines + u64::from(self.open.is_some())
    }

    /// The state as bytes, for storing.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend(self.lines.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.digest);
        match &self.open {
            None => bytes.push(0),
            Some(open) => {
                bytes.push(1);
                bytes.extend(open.length.to_le_bytes());
                bytes.extend(open.digest);
                bytes.extend(open.counted.encode());
                let (name, offset) =
                    open.kept.as_ref().map_or(("", 0), |kept| (kept.pack.as_str(), kept.offset));
                // Pack names are at most 64 bytes long.
                bytes.push(u8::try_from(name.len()).unwrap_or_default());
                bytes.extend(name.as_bytes());
                bytes.extend(offset.to_le_bytes());
            }
        }
        bytes.extend(self.checkpoints.iter().flat_map(|mark| mark.to_le_bytes()));
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedSource> {
        Self::read(bytes).ok_or(DamagedSource)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[1])?;
        let lines = u64::from_le_bytes(take(&mut rest)?);
        let length = u64::from_le_bytes(take(&mut rest)?);
        let digest = take(&mut rest)?;
        let open = match take(&mut rest)? {
            [0] => None,
            [1] => Some({
                let length = u32::from_le_bytes(take(&mut rest)?);
                let digest = take(&mut rest)?;
                let counted = Verdict::decode(take(&mut rest)?)?;
                let [name] = take(&mut rest)?;
                let (pack, after) = rest.split_at_checked(name.into())?;
                rest = after;
                let offset = u64::from_le_bytes(take(&mut rest)?);
                let pack = String::from_utf8(pack.to_vec()).ok()?;
                let kept = (!pack.is_empty()).then_some(MemberRef { pack, offset });
                OpenLine { length, digest, counted, kept }
            }),
            _ => return None,
        };
        let (marks, over) = rest.as_chunks::<4>();
        let checkpoints = marks.iter().map(|mark| u32::from_le_bytes(*mark)).collect();
        over.is_empty().then_some(Self { lines, length, digest, checkpoints, open })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(lines: u64) -> Tracker {
        let mut tracker = Tracker::new();
        for number in 0..lines {
            tracker.bytes(format!("line {number}\n").as_bytes());
            if tracker.line() {
                tracker.checkpoint();
            }
        }
        tracker
    }

    #[test]
    fn a_state_is_read_back_and_a_damaged_one_is_refused() {
        let kept = Some(MemberRef { pack: "p".repeat(64), offset: 7 });
        let open = OpenLine { length: 5, digest: [9; 16], counted: Verdict::Billed(-3), kept };
        for open in
            [None, Some(open.clone()), Some(OpenLine { kept: None, counted: Verdict::Unreadable, ..open })]
        {
            let source = tracker(40).source(open);
            let bytes = source.encode();
            assert_eq!(Source::decode(&bytes), Ok(source));
            for length in 0..bytes.len() - 40 * 4 {
                assert_eq!(Source::decode(&bytes[..length]), Err(DamagedSource), "{length}");
            }
            assert_eq!(Source::decode(&[&bytes[..], b"x"].concat()), Err(DamagedSource));
        }
        assert_eq!(Source::decode(&[2; 100]), Err(DamagedSource), "another version");
    }

    #[test]
    fn a_state_grows_slower_than_its_log() {
        let size = |lines| tracker(lines).source(None).encode().len();
        assert_eq!((size(10), size(1024)), (74, 34 + 4096));
        assert!(size(100_000) < 10 << 10);
        // However long the log, with all checkpoints it may have.
        let source = Source { checkpoints: vec![0; MOST_CHECKPOINTS], ..tracker(1).source(None) };
        assert!(source.encode().len() < (32 << 10) - 200);
    }
}
