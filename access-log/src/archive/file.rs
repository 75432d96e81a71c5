//! Archive files, and ranges of them.

use std::time::SystemTime;

use chrono::NaiveDate;

use super::error::ArchiveError;
use super::{DAYS, PACKS, pack_file_name, parse_sealed_file_name, sealed_file_name};

/// File of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArchiveFile {
    /// Pack of this name.
    Pack(String),
    /// Sealed file of this name and day.
    Sealed(String, NaiveDate),
}

impl ArchiveFile {
    /// Path below the archive's folder, with `/` between its parts: `packs/<name>` or `days/<YYYY-MM-DD>-<name>.log.gz`. Refuses
    /// a name that no file of the archive may have.
    pub fn relative_path(&self) -> Result<String, ArchiveError> {
        Ok(match self {
            Self::Pack(name) => format!("{PACKS}/{}", pack_file_name(name)?),
            Self::Sealed(name, day) => format!("{DAYS}/{}", sealed_file_name(name, *day)?),
        })
    }

    /// File of a path as [`ArchiveFile::relative_path`] makes it; `None` where it is of no finished file.
    pub fn from_relative_path(path: &str) -> Option<Self> {
        let (folder, name) = path.split_once('/')?;
        let file = match folder {
            PACKS => Self::Pack(name.to_owned()),
            DAYS => parse_sealed_file_name(name)?,
            _ => return None,
        };
        file.relative_path().is_ok().then_some(file)
    }
}

/// File of the archive as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// File that was written.
    pub file: ArchiveFile,
    /// Time at which it was last written.
    pub written: SystemTime,
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
