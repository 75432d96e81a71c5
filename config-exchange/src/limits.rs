//! Limits of what is read.

/// The most entries of a document, and of a whole archive.
pub const MAX_ENTRIES: usize = 10_000;

/// The most bytes of a file, of an archive, and of what is unpacked of it or comes of its aliases.
pub const MAX_BYTES: usize = 64 << 20;

/// The most files in an archive.
pub const MAX_FILES: usize = 10_000;

/// The most texts about what was left out; the rest is counted.
pub(crate) const MAX_DROPPED: usize = 1_000;

/// The most lists and maps that may lie in each other.
pub(crate) const MAX_DEPTH: usize = 64;
