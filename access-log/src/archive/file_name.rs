//! File names of the archive: they cannot leave its folder.

use chrono::NaiveDate;

use super::error::ArchiveError;
use super::file::ArchiveFile;

/// Longest name of a pack, in bytes.
const MAX_PACK_NAME: usize = 64;
/// Longest name of a sealed file, in bytes: with date and ending it fits in the 255 that a file name may have.
const MAX_SEALED_NAME: usize = 231;

/// Checks the name of a pack, which is its file's.
pub(super) fn pack_file_name(name: &str) -> Result<&str, ArchiveError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > MAX_PACK_NAME || !name.bytes().all(is_plain) {
        return Err(ArchiveError::InvalidName(name.to_owned()));
    }
    Ok(name)
}

/// Makes the file name of a sealed file: `<YYYY-MM-DD>-<name>.log.gz`. `name` must be what DNS allows in a domain, in lower
/// case; so it can hold no separator and cannot begin with a dot.
pub(super) fn sealed_file_name(name: &str, day: NaiveDate) -> Result<String, ArchiveError> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let labels_are_plain = name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_plain));
    if name.len() > MAX_SEALED_NAME || !labels_are_plain {
        return Err(ArchiveError::InvalidName(name.to_owned()));
    }
    Ok(format!("{}-{name}.log.gz", day.format("%Y-%m-%d")))
}

/// Reads the file name of a sealed file; nothing if it is none.
pub(super) fn parse_sealed_file_name(file_name: &str) -> Option<ArchiveFile> {
    let (day, rest) = file_name.split_at_checked(10)?;
    let name = rest.strip_prefix('-')?.strip_suffix(".log.gz")?;
    Some(ArchiveFile::Sealed(name.to_owned(), NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?))
}
