//! Errors of the archive in object storage.

use std::io;

use pilothouse_access_log::archive::ArchiveError;

/// Reason why the archive in object storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectArchiveError {
    /// Object storage that holds the lines of another store.
    #[error("it belongs to the store {owner}, and this is the store {store}")]
    OtherOwner {
        /// Store that it belongs to.
        owner: String,
        /// Store that claimed it.
        store: String,
    },
    /// Refusal of the object storage, or no answer.
    #[error("the object storage failed")]
    Objects(#[from] object_store::Error),
    /// Refusal of the folder that packs are written to.
    #[error(transparent)]
    Folder(#[from] ArchiveError),
    /// Other refusal of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ObjectArchiveError> for io::Error {
    fn from(error: ObjectArchiveError) -> Self {
        match error {
            ObjectArchiveError::Io(error) => error,
            error => Self::other(error),
        }
    }
}
