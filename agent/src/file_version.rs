//! Versions of a file: what stands at a path, and which of two versions it is.

use std::fs::File;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Hex;
use crate::metadata::FileMetadata;

/// Version of a file at a path, past, present or to come.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileVersion {
    /// No file.
    Absent,
    /// A regular file.
    Present {
        /// Hash of its content.
        sha256: Sha256Hex,
        /// Its length in bytes.
        size: u64,
        /// Its metadata.
        metadata: FileMetadata,
    },
}

impl FileVersion {
    /// Hash of the content, `None` where there is no file.
    pub fn sha256(&self) -> Option<&Sha256Hex> {
        match self {
            Self::Absent => None,
            Self::Present { sha256, .. } => Some(sha256),
        }
    }

    pub(crate) fn metadata(&self) -> Option<&FileMetadata> {
        match self {
            Self::Absent => None,
            Self::Present { metadata, .. } => Some(metadata),
        }
    }

    fn has_same_rights(&self, other: &Self) -> bool {
        match (self.metadata(), other.metadata()) {
            (Some(own), Some(other)) => own.has_same_rights(other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    /// Whether content, mode, owner and group are equal, so that an update has nothing to do.
    pub(crate) fn is_same_for_update(&self, other: &Self) -> bool {
        self.sha256() == other.sha256() && self.has_same_rights(other)
    }
}

/// Which of two versions stands at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Before,
    After,
    Neither,
}

impl Side {
    /// Compares by content. Only where both versions have the same content do mode, owner and group decide: somebody's
    /// `chmod` of the new file does not make it another one.
    pub(crate) fn of(found: &FileVersion, before: &FileVersion, after: &FileVersion) -> Self {
        let content = found.sha256();
        if before.sha256() != after.sha256() {
            return match content {
                content if content == after.sha256() => Self::After,
                content if content == before.sha256() => Self::Before,
                _ => Self::Neither,
            };
        }
        if found.is_same_for_update(after) {
            Self::After
        } else if found.is_same_for_update(before) {
            Self::Before
        } else {
            Self::Neither
        }
    }
}

/// File as it was found, still open.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) version: FileVersion,
    /// The open file and what identifies it; `None` where there is no file.
    pub(crate) open: Option<OpenFile>,
}

/// Open file with what tells whether the path still leads to it, unchanged.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) identity: Identity,
    /// Reason for which it cannot be replaced, with its article.
    pub(crate) unfit: Option<&'static str>,
}

/// Identity of a file and of its present content and metadata: a change of either moves the change time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) ctime: (i64, u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(content: &str, mode: u32) -> FileVersion {
        let xattrs = std::collections::BTreeMap::new();
        let metadata = FileMetadata { mode, uid: 0, gid: 0, mtime: 1, mtime_nanoseconds: 0, xattrs };
        let sha256 = Sha256Hex::of(content.as_bytes());
        FileVersion::Present { sha256, size: content.len() as u64, metadata }
    }

    #[test]
    fn content_decides_between_different_contents() {
        let before = version("old", 0o644);
        let after = version("new", 0o600);
        assert_eq!(Side::of(&version("old", 0o777), &before, &after), Side::Before);
        assert_eq!(Side::of(&version("new", 0o777), &before, &after), Side::After);
        assert_eq!(Side::of(&version("else", 0o600), &before, &after), Side::Neither);
        assert_eq!(Side::of(&FileVersion::Absent, &before, &after), Side::Neither);
        assert_eq!(Side::of(&FileVersion::Absent, &FileVersion::Absent, &after), Side::Before);
    }

    #[test]
    fn rights_decide_between_equal_contents() {
        let before = version("same", 0o644);
        let after = version("same", 0o600);
        assert_eq!(Side::of(&version("same", 0o644), &before, &after), Side::Before);
        assert_eq!(Side::of(&version("same", 0o600), &before, &after), Side::After);
        assert_eq!(Side::of(&version("same", 0o640), &before, &after), Side::Neither);
    }
}
