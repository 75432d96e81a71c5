//! Errors of the archive.

use std::io;
use std::path::{Path, PathBuf};

use super::file::ArchiveFile;

/// Reason why the archive did not do what was asked. It changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Name that could leave the folder, or that no file may have.
    #[error("{0:?} cannot be the name of a file in the archive")]
    InvalidName(String),
    /// Pack whose name was used before.
    #[error("the pack {0} exists already")]
    PackExists(String),
    /// Recorded lines that are not there, or not all of them.
    #[error("{file:?} has no {length} bytes at {offset}")]
    Missing {
        /// File that they should lie in.
        file: ArchiveFile,
        /// Offset in the file, in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
    },
    /// Folder that holds the lines of another store.
    #[error("{} belongs to the store {owner}, and this is the store {store}", folder.display())]
    OtherOwner {
        /// Folder of the archive.
        folder: PathBuf,
        /// Store that the folder belongs to.
        owner: String,
        /// Store that claimed it.
        store: String,
    },
    /// Full disk, or a used up quota.
    #[error("no space is left for {}", path.display())]
    Full {
        /// File that was being written.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Any other refusal of the system.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Verb that names what was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Maps the system's refusal of an action on a file or folder.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::Full { path, source },
        _ => ArchiveError::Io { action, path, source },
    }
}
