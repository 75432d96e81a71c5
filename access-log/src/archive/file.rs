//! Archive files, and ranges of them.

use chrono::NaiveDate;

/// File of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArchiveFile {
    /// Pack of this name.
    Pack(String),
    /// Sealed file of this name and day.
    Sealed(String, NaiveDate),
}

/// Range of an archive file that is gzip by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRange {
    /// File that it lies in.
    pub file: ArchiveFile,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Number of lines in it.
    pub lines: u64,
}
