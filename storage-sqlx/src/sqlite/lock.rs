//! Lock of a database: held by every process that uses it, so that nothing is put in its place meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::with_suffix;

/// Lock of a database file: a file beside it, so that taking it does not touch the locks that SQLite holds. Ends with the
/// process at the latest.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Takes the lock as one of many users; waits while somebody replaces the file.
    pub(super) fn shared(database: &Path) -> io::Result<Self> {
        let file = open(database)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }

    /// Takes the lock alone; `None` where a process uses the database.
    pub(super) fn alone(database: &Path) -> io::Result<Option<Self>> {
        let file = open(database)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(database: &Path) -> io::Result<File> {
    let path = with_suffix(database, "-lock");
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
