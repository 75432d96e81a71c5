//! Journal entries: what the state of a shipped log is made of, and how each is encoded.

use pilothouse_access_log::Fingerprint;

/// Entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Edge whose log it is; everything before it is void.
    Edge(EdgeName),
    /// Position in a log, without bytes to be sent.
    Log(StoredLog),
    /// Stretch that the server has taken.
    Segment(Segment),
    /// Piece that is about to be sent.
    Piece(Piece),
    /// Offset up to which the server has taken the stream.
    Taken(u64),
}

/// Names of an edge and its cdn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EdgeName {
    pub(super) cdn: String,
    pub(super) edge: String,
}

/// Stored checkpoint of a log of this edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredLog {
    pub(super) id: i64,
    pub(super) fingerprint: Fingerprint,
    /// Encoded [`pilothouse_access_log::Checkpoint`].
    pub(super) state: Vec<u8>,
}

/// Stretch of the stream that lies in one log without a break. It ends with a whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Offset in the stream.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) length: u64,
    /// Log that has the bytes.
    pub(super) log: i64,
    /// Offset of the bytes in that log.
    pub(super) at: u64,
}

impl Segment {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Whole lines that are sent at once, and the position in their log after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) segment: Segment,
    /// Whether the bytes can be read from the log again: not where an overlong line was left out.
    pub(super) is_exact: bool,
    pub(super) log: StoredLog,
    pub(super) gzip: Vec<u8>,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Edge(EdgeName { cdn, edge }) => {
                let mut bytes = vec![1];
                put_text(&mut bytes, cdn.as_bytes());
                put_text(&mut bytes, edge.as_bytes());
                bytes
            }
            Self::Log(log) => {
                let mut bytes = vec![2];
                log.encode(&mut bytes);
                bytes
            }
            Self::Segment(segment) => {
                let mut bytes = vec![3];
                segment.encode(&mut bytes);
                bytes
            }
            Self::Piece(piece) => {
                let mut bytes = vec![4, u8::from(piece.is_exact)];
                piece.segment.encode(&mut bytes);
                piece.log.encode(&mut bytes);
                bytes.extend(&piece.gzip);
                bytes
            }
            Self::Taken(offset) => {
                let mut bytes = vec![5];
                bytes.extend(offset.to_le_bytes());
                bytes
            }
        }
    }

    /// Decodes what [`Self::encode`] returned; nothing for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        let entry = match kind {
            1 => Self::Edge(EdgeName { cdn: take_name(rest)?, edge: take_name(rest)? }),
            2 => Self::Log(StoredLog::decode(rest)?),
            3 => Self::Segment(Segment::decode(rest)?),
            4 => {
                let [is_exact] = take(rest)?;
                let segment = Segment::decode(rest)?;
                let log = StoredLog::decode(rest)?;
                let gzip = std::mem::take(rest).to_vec();
                Self::Piece(Piece { segment, is_exact: is_exact != 0, log, gzip })
            }
            5 => Self::Taken(u64::from_le_bytes(take(rest)?)),
            _ => return None,
        };
        rest.is_empty().then_some(entry)
    }
}

impl StoredLog {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.fingerprint.0);
        put_text(bytes, &self.state);
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let id = i64::from_le_bytes(take(rest)?);
        let fingerprint = Fingerprint(take(rest)?);
        Some(Self { id, fingerprint, state: take_text(rest)? })
    }
}

impl Segment {
    fn encode(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.log.to_le_bytes());
        bytes.extend(self.at.to_le_bytes());
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let offset = u64::from_le_bytes(take(rest)?);
        let length = u64::from_le_bytes(take(rest)?);
        let log = i64::from_le_bytes(take(rest)?);
        Some(Self { offset, length, log, at: u64::from_le_bytes(take(rest)?) })
    }
}

/// Appends a text of less than 4 GiB: names are short, and a checkpoint has at most 36 KiB.
fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text);
}

fn take_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text.to_vec())
}

fn take_name(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_text(rest)?).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_decoded_and_a_damaged_one_is_refused() {
        let log = StoredLog { id: -3, fingerprint: Fingerprint([7; 16]), state: vec![1, 2, 3] };
        let segment = Segment { offset: 1 << 40, length: 9, log: -3, at: 77 };
        let piece = Piece { segment, is_exact: true, log: log.clone(), gzip: vec![4, 5] };
        for entry in [
            Entry::Edge(EdgeName { cdn: "level3".to_owned(), edge: "edge-ü".to_owned() }),
            Entry::Log(log),
            Entry::Segment(segment),
            Entry::Piece(piece),
            Entry::Taken(u64::MAX),
        ] {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Some(entry.clone()));
            // The gzip at the end of a piece has no length of its own: the journal's checksum guards it.
            let least = if matches!(entry, Entry::Piece(_)) { bytes.len() - 2 } else { bytes.len() };
            for length in 0..least {
                assert_eq!(Entry::decode(&bytes[..length]), None, "{length} bytes of {entry:?}");
            }
        }
        assert_eq!(Entry::decode(&[9, 0, 0]), None, "an unknown kind");
        assert_eq!(Entry::decode(&[&Entry::Taken(1).encode()[..], b"x"].concat()), None);
    }
}
