//! SQLite: pools, group commit, the watch on the database file, and commits by other processes.

mod backup;
mod file;
mod flush;
mod inspect;
mod lock;
mod mark;
mod other_processes;
mod overwritten;
mod pools;
mod settings;

pub use backup::{CheckedBackup, RestoreError, Restored};
pub(crate) use pools::SqlitePools;
pub use settings::SqliteSettings;

use std::path::{Path, PathBuf};

/// Path of a file that belongs to a database: its name with a suffix.
fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
