//! Checkpoint of a log: how far it was read, and the content it is recognised by when it comes again under any name.
//!
//! A checkpoint holds a digest of everything read, its *trail* of marks (see [`RunningDigest`]) and checksums of the last lines
//! (see [`RecentLines`]). So
//!
//! - an input that begins with all that a checkpoint has read is that log, grown: what follows is new;
//! - an input that is the beginning of what a checkpoint has read is a shorter copy: nothing is new. Up to 1,024 lines, and
//!   among the last lines read, this is exact; between, an input that agrees up to the last mark it reaches is taken for a
//!   copy cut short, though its last lines (at most 1/256 of it) cannot be compared. So is one that ends in the middle of a
//!   line, if at least two lines agree;
//! - an input that begins with most of what a checkpoint has read and then differs is that log after its last lines were
//!   lost, as after a power cut: what follows the lines that agree is new. Where it cannot be told exactly which those are,
//!   counting begins at the first mark that differs, so that no line counts twice;
//! - an input that shares more lines with a checkpoint than by chance, but not most of them, is refused;
//! - anything else is another log, and counted whole. So is a copy that was cut within its first line.
//!
//! An encoded checkpoint takes about 4 bytes a line for small logs, 19 KiB for a million lines, and never more than 36 KiB.
//!
//! An unterminated last line is counted when a file ends with it, and remembered as *open*. If the file grows and the line
//! with it, its count is withdrawn and the whole line counted instead.

use crate::aggregate::LineVerdict;
use crate::archive::MemberRef;
use crate::recent_lines::{Anchor, MAX_RECENT, RecentLines};
use crate::running_digest::{Digest, RunningDigest};

/// Number under which a [`crate::Ledger`] stores a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub i64);

/// Position in a log: how far it was read, and the digest of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of whole lines.
    pub(crate) lines: u64,
    /// Bytes of the whole lines, before compression.
    pub(crate) length: u64,
    /// Digest of the whole lines.
    pub(crate) digest: Digest,
    pub(crate) trail: Vec<u32>,
    pub(crate) recent: RecentLines,
    pub(crate) open: Option<OpenLine>,
}

/// Unterminated last line that was counted and may still grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenLine {
    /// Length in bytes, without a line end.
    pub(crate) length: u32,
    /// Digest of all whole lines and this one.
    pub(crate) digest: Digest,
    pub(crate) counted: LineVerdict,
    /// Archive member that holds it, apart from the other lines; none if it was not kept.
    pub(crate) kept: Option<MemberRef>,
}

/// Encoded checkpoint that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored log position is damaged, or of a newer version")]
pub struct DamagedCheckpoint;

impl Checkpoint {
    /// Bytes read, before compression, an open last line included.
    pub fn length(&self) -> u64 {
        self.length + self.open.as_ref().map_or(0, |open| u64::from(open.length))
    }

    /// Lines read, an open last line included.
    pub fn lines(&self) -> u64 {
        self.lines + u64::from(self.open.is_some())
    }

    /// Encodes the checkpoint for storing: at most 36 KiB.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![2];
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
        match self.recent.anchor() {
            None => bytes.push(0),
            Some(anchor) => {
                bytes.push(1);
                bytes.extend(anchor.lines.to_le_bytes());
                bytes.extend(anchor.digest);
                // There are at most [`MAX_RECENT`].
                bytes.extend(u16::try_from(self.recent.checksums().len()).unwrap_or_default().to_le_bytes());
                bytes.extend(self.recent.checksums().iter().flat_map(|checksum| checksum.to_le_bytes()));
            }
        }
        bytes.extend(self.trail.iter().flat_map(|mark| mark.to_le_bytes()));
        bytes
    }

    /// Decodes what [`Self::encode`] returned.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedCheckpoint> {
        Self::read(bytes).ok_or(DamagedCheckpoint)
    }

    pub(crate) fn at(digest: &RunningDigest, recent: RecentLines, open: Option<OpenLine>) -> Self {
        let RunningDigest { lines, length, trail, .. } = digest;
        Self {
            lines: *lines,
            length: *length,
            digest: digest.digest(b""),
            trail: trail.clone(),
            recent,
            open,
        }
    }

    /// Whether the trail agrees with the last mark of `input`, or ends before it. The marks before were compared when they
    /// were set.
    pub(crate) fn agrees_with(&self, input: &RunningDigest) -> bool {
        match input.trail.len().checked_sub(1) {
            Some(last) => self.trail.get(last).is_none_or(|mark| *mark == input.trail[last]),
            None => true,
        }
    }

    /// Whether the trail agrees with `input` after one more line end; nothing if no mark is due there.
    pub(crate) fn agrees_after_line_end(&self, input: &RunningDigest) -> Option<bool> {
        let mut ended = input.clone();
        ended.update(b"\n");
        let is_marked = ended.end_line();
        if is_marked {
            ended.mark();
        }
        if ended.lines == self.lines {
            return Some(ended.digest(b"") == self.digest);
        }
        is_marked.then(|| self.agrees_with(&ended))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (version @ 1..=2, mut rest) = bytes.split_first()? else { return None };
        let lines = u64::from_le_bytes(take(&mut rest)?);
        let length = u64::from_le_bytes(take(&mut rest)?);
        let digest = take(&mut rest)?;
        let open = match take(&mut rest)? {
            [0] => None,
            [1] => Some({
                let length = u32::from_le_bytes(take(&mut rest)?);
                let digest = take(&mut rest)?;
                let counted = LineVerdict::decode(take(&mut rest)?)?;
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
        let recent = match version {
            1 => RecentLines::default(),
            _ => read_recent(&mut rest)?,
        };
        let (marks, over) = rest.as_chunks::<4>();
        let trail = marks.iter().map(|mark| u32::from_le_bytes(*mark)).collect();
        over.is_empty().then_some(Self { lines, length, digest, trail, recent, open })
    }
}

fn read_recent(rest: &mut &[u8]) -> Option<RecentLines> {
    match take(rest)? {
        [0] => Some(RecentLines::default()),
        [1] => {
            let anchor = Anchor { lines: u64::from_le_bytes(take(rest)?), digest: take(rest)? };
            let count = usize::from(u16::from_le_bytes(take(rest)?));
            let checksums = (0..count.min(MAX_RECENT)).map(|_| Some(u32::from_le_bytes(take(rest)?)));
            Some(RecentLines::new(anchor, checksums.collect::<Option<_>>()?))
        }
        _ => None,
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
    use crate::DomainNumber;
    use crate::running_digest::MAX_MARKS;

    fn digest_of(lines: u64) -> RunningDigest {
        let mut digest = RunningDigest::new();
        for number in 0..lines {
            digest.update(format!("line {number}\n").as_bytes());
            if digest.end_line() {
                digest.mark();
            }
        }
        digest
    }

    #[test]
    fn a_checkpoint_is_decoded_and_a_damaged_one_is_refused() {
        let kept = Some(MemberRef { pack: "p".repeat(64), offset: 7 });
        let open =
            OpenLine { length: 5, digest: [9; 16], counted: LineVerdict::Billed(DomainNumber(-3)), kept };
        for open in [
            None,
            Some(open.clone()),
            Some(OpenLine { kept: None, counted: LineVerdict::Unreadable, ..open }),
        ] {
            let recent = RecentLines::new(Anchor { lines: 38, digest: [7; 16] }, vec![1, 2]);
            for recent in [recent, RecentLines::default()] {
                let checkpoint = Checkpoint::at(&digest_of(40), recent, open.clone());
                assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
            }
            let bytes = Checkpoint::at(&digest_of(40), RecentLines::default(), open).encode();
            for length in 0..bytes.len() - 40 * 4 {
                assert_eq!(Checkpoint::decode(&bytes[..length]), Err(DamagedCheckpoint), "{length}");
            }
            assert_eq!(Checkpoint::decode(&[&bytes[..], b"x"].concat()), Err(DamagedCheckpoint));
        }
        assert_eq!(Checkpoint::decode(&[3; 100]), Err(DamagedCheckpoint), "another version");
    }

    #[test]
    fn a_checkpoint_without_recent_lines_is_decoded() {
        let checkpoint = Checkpoint::at(&digest_of(40), RecentLines::default(), None);
        let mut bytes = checkpoint.encode();
        bytes[0] = 1;
        // Version 1 had nothing between the open line and the trail.
        bytes.remove(34);
        assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint));
    }

    #[test]
    fn a_checkpoint_grows_slower_than_its_log() {
        let at = |lines| Checkpoint::at(&digest_of(lines), RecentLines::default(), None);
        let size = |lines| at(lines).encode().len();
        assert_eq!((size(10), size(1024)), (75, 35 + 4096));
        assert!(size(100_000) < 10 << 10);
        // However long the log, with all marks it may have.
        let recent = RecentLines::new(Anchor { lines: 1, digest: [0; 16] }, vec![0; MAX_RECENT]);
        let longest = Checkpoint { trail: vec![0; MAX_MARKS], recent, ..at(1) };
        assert!(longest.encode().len() < (36 << 10) - 200);
    }
}
