//! Database file: created private to its owner, and watched for replacement and deletion.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilothouse_core::ports::{StorageError, StorageResult};

use super::overwritten::Content;
use crate::stop::{Reason, Stop};

/// Interval of the check whether the path still leads to the opened file.
const PERIOD: Duration = Duration::from_millis(250);

/// Device and inode of a file, which a rename does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&path.metadata()?))
    }
}

impl From<&std::fs::Metadata> for Identity {
    fn from(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Creates a file with mode 0600 whatever the umask; an existing one is left as it is. SQLite gives its log and its
/// shared memory the same mode.
///
/// An existing file is not even opened: closing it would release the POSIX locks that SQLite holds on it in this
/// process.
pub(super) fn create_private(path: &Path) -> StorageResult<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(path, &error)),
    }
}

/// Adds the path to an error of the file system.
pub(super) fn at(path: &Path, error: &io::Error) -> StorageError {
    StorageError::backend(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Database file that SQLite has open.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
}

impl DatabaseFile {
    /// Takes the identity of the file that is at the path now.
    pub(super) fn at(path: &Path) -> StorageResult<Self> {
        let path = std::path::absolute(path).map_err(|error| at(path, &error))?;
        let identity = Identity::of(&path).map_err(|error| at(&path, &error))?;
        Ok(Self { path, identity })
    }

    /// Absolute path of the database.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the write-ahead log.
    pub(super) fn log(&self) -> PathBuf {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        log.into()
    }

    /// Detects that the path leads to another file or to none: SQLite would go on writing to one that nobody can open
    /// again.
    pub(super) fn check(&self) -> Result<(), Reason> {
        match Identity::of(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            Ok(_) => Err(Reason::FileReplaced(self.path.clone())),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Reason::FileDeleted(self.path.clone()))
            }
            // Unknown, which is no reason to stop: where SQLite cannot go on either, it reports that itself.
            Err(_) => Ok(()),
        }
    }
}

/// Stops the store as soon as its file is replaced or deleted, or overwritten where its content is watched.
pub(super) async fn watch_file(file: DatabaseFile, mut content: Option<Content>, stop: Stop) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let file = file.clone();
        // A network file system may block.
        let checked = tokio::task::spawn_blocking(move || {
            file.check()?;
            if content.as_mut().is_some_and(Content::is_overwritten) {
                return Err(Reason::FileOverwritten(file.path));
            }
            Ok(content)
        });
        match checked.await {
            Ok(Ok(unchanged)) => content = unchanged,
            Ok(Err(reason)) => {
                stop.stop(reason);
                return;
            }
            // The runtime ends.
            Err(_) => return,
        }
    }
}
