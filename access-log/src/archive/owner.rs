//! Owner of the archive: the store that its files belong to, by a small file in the folder.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::error::failed;
use super::{ArchiveError, sync_folder, write_unfinished};

/// Name of the file that names the owner.
const FILE: &str = "store";

/// The owner of a folder; `None` before one claimed it.
pub(super) fn owner(folder: &Path) -> Result<Option<String>, ArchiveError> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(owner) => Ok(Some(owner.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Makes a folder a store's, durable on return; refuses one that is another's.
pub(super) fn claim(folder: &Path, store: &str) -> Result<(), ArchiveError> {
    if owner(folder)?.is_none() {
        let path = folder.join(FILE);
        let file =
            write_unfinished(folder, |file| writeln!(file, "{store}").map_err(failed("write", &path)))?;
        match file.persist_noclobber(&path) {
            // Another process was faster; whether for the same store is found out below.
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("write", &path)(error.error));
            }
            _ => sync_folder(folder)?,
        }
    }
    match owner(folder)? {
        Some(owner) if owner != store => {
            Err(ArchiveError::OtherOwner { folder: folder.to_owned(), owner, store: store.to_owned() })
        }
        _ => Ok(()),
    }
}
