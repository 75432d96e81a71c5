//! Content of a blob: its pieces, by the keys of their objects.

use object_store::ObjectMeta;
use object_store::path::Path;
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::BlobState;

/// Folder of the keys of all blobs.
pub(super) const BLOBS: &str = "blobs";
/// Ending of the key of the last piece.
pub(super) const END: &str = ".end";

/// Piece of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: Path,
    pub(super) offset: i64,
    pub(super) length: i64,
}

/// Stored pieces of a blob, without a hole, from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Size of the whole.
    pub(super) size: i64,
    pub(super) pieces: Vec<Piece>,
    pub(super) is_complete: bool,
}

/// Key of a piece as it was read.
struct Parsed {
    size: i64,
    is_end: bool,
    piece: Piece,
}

impl Parsed {
    /// `None` for an object that is no piece, which is left alone.
    fn of(object: &ObjectMeta) -> Option<Self> {
        let mut parts = object.location.as_ref().rsplit('/');
        let (name, size) = (parts.next()?, parts.next()?.parse().ok()?);
        let (offset, is_end) = name.strip_suffix(END).map_or((name, false), |offset| (offset, true));
        let (offset, length) = (offset.parse().ok()?, i64::try_from(object.size).ok()?);
        Some(Self { size, is_end, piece: Piece { key: object.location.clone(), offset, length } })
    }
}

impl Content {
    /// Puts the objects of one blob together; `None` where nobody began it. Of two sizes a complete one counts, else the smaller.
    pub(super) fn of(objects: &[ObjectMeta]) -> Option<Self> {
        let mut parsed: Vec<_> = objects.iter().filter_map(Parsed::of).collect();
        // At one offset the end comes first: a complete blob needs no other piece there.
        parsed.sort_by_key(|found| (found.size, found.piece.offset, !found.is_end));
        let whole: Vec<_> = parsed.chunk_by(|one, other| one.size == other.size).map(Self::of_size).collect();
        let complete = whole.iter().position(|content| content.is_complete).unwrap_or(0);
        whole.into_iter().nth(complete)
    }

    fn of_size(found: &[Parsed]) -> Self {
        let size = found.first().map_or(0, |first| first.size);
        let mut content = Self { size, pieces: Vec::new(), is_complete: false };
        for Parsed { is_end, piece, .. } in found {
            if piece.offset != content.end() || content.is_complete {
                continue;
            }
            content.pieces.push(piece.clone());
            content.is_complete = *is_end && content.end() == size;
        }
        content
    }

    /// Offset behind the last byte that is there.
    pub(super) fn end(&self) -> i64 {
        self.pieces.last().map_or(0, |last| last.offset.saturating_add(last.length))
    }

    pub(super) fn state(&self) -> BlobState {
        BlobState { size: self.size, offset: self.end(), is_complete: self.is_complete }
    }

    /// Piece that a byte lies in; `None` behind the end.
    pub(super) fn piece_at(&self, offset: i64) -> Option<&Piece> {
        let behind = self.pieces.partition_point(|piece| piece.offset <= offset);
        self.pieces[..behind].last().filter(|piece| offset < piece.offset.saturating_add(piece.length))
    }
}

/// Folder of the keys of a blob.
pub(super) fn prefix(sha256: Sha256Digest) -> Path {
    Path::from(format!("{BLOBS}/{sha256}"))
}

/// Key of a piece.
pub(super) fn key(sha256: Sha256Digest, size: i64, offset: i64, is_end: bool) -> Path {
    let end = if is_end { END } else { "" };
    // As many digits as the greatest size has, so that keys are in the order of offsets.
    Path::from(format!("{BLOBS}/{sha256}/{size}/{offset:013}{end}"))
}

/// Hash of the blob that an object is of.
pub(super) fn sha256_of(key: &Path) -> Option<Sha256Digest> {
    key.as_ref().strip_prefix(BLOBS)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}
