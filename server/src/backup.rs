//! `pilothouse backup`: a consistent copy of the embedded store, under its name only once it is whole and checked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pilothouse_storage_sqlx::CheckedBackup;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::compose::{self, Opened};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::print;

/// First bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Writes a backup; a signal removes what is written so far. With `keep` prunes older backups afterwards.
pub(crate) async fn backup(settings: Settings, file: &Path, keep: Option<usize>) -> Result<(), Failure> {
    let failed = |error| Failure::failed("signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        done = compose::with_store(&settings, async |opened| write(opened, file, keep).await) => done,
        _ = terminate.recv() => Err(interrupted()),
        _ = interrupt.recv() => Err(interrupted()),
        _ = hang_up.recv() => Err(interrupted()),
    }
}

fn interrupted() -> Failure {
    Failure::died("backup: interrupted, no file was written")
}

async fn write(opened: &Opened, file: &Path, keep: Option<usize>) -> Result<(), Failure> {
    let Some(database) = &opened.database else {
        return Err(Failure::usage("backup: the memory store has nothing to copy"));
    };
    if file.symlink_metadata().is_ok() {
        return Err(exists(file));
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage("backup: the file's name must be UTF-8"))?;
    if keep.is_some() && !name.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(Failure::usage(
            "--keep: the file's name must hold a number that differs each time, as a date",
        ));
    }
    let failed = |error| Failure::failed(format!("backup {}", file.display()), error);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = Draft::create(folder, name).map_err(failed)?;
    let path = draft.file.to_str().ok_or_else(|| Failure::usage("backup: the path must be UTF-8"))?;
    database.backup(path).await?;
    sync(&draft.file).await.map_err(failed)?;
    let checked = CheckedBackup::of(&draft.file).await;
    let checked = checked.map_err(|error| Failure::failed("backup: the copy failed its check", error))?;
    // Fails where the name was taken meanwhile; a rename would replace that file.
    fs::hard_link(&draft.file, file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => failed(error),
    })?;
    drop(draft);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    print(&format!("wrote {}", file.display()))?;
    match (keep, checked.identity) {
        (Some(keep), Some(identity)) => prune(folder, name, &identity.id, keep).await,
        _ => Ok(()),
    }
}

fn exists(file: &Path) -> Failure {
    Failure::usage(format!("backup: {} exists", file.display()))
}

async fn sync(draft: &Path) -> io::Result<()> {
    let draft = File::open(draft)?;
    tokio::task::spawn_blocking(move || draft.sync_all()).await.map_err(io::Error::other)?
}

/// Unfinished backup, with what SQLite writes beside it: in a hidden folder, which its owner alone may enter since it holds
/// password hashes. Removed when dropped.
struct Draft {
    folder: TempDir,
    file: PathBuf,
}

impl Draft {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!(".{name}.unfinished-")).tempdir_in(folder)?;
        let file = folder.path().join(name);
        Ok(Self { folder, file })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A copy that is still under way may put another file into the folder while it is being removed.
        for _ in 0..10 {
            if fs::remove_dir_all(self.folder.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// File beside the new backup that may be an older one.
struct Candidate {
    path: PathBuf,
    written: SystemTime,
}

/// Removes the backups of this store but the newest `keep` that pass the check, and those that fail it. Backups are the
/// files whose names differ from the new one's in nothing but numbers.
async fn prune(folder: &Path, name: &str, store: &str, keep: usize) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("--keep in {}", folder.display()), error);
    let mut candidates = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_alike =
            entry.file_name().to_str().is_some_and(|other| other != name && shape(other) == shape(name));
        // One that another command removed meanwhile needs nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        if is_alike && metadata.is_file() {
            candidates.push(Candidate { path: entry.path(), written: metadata.modified().map_err(failed)? });
        }
    }
    candidates.sort_unstable_by(|a, b| (b.written, &b.path).cmp(&(a.written, &a.path)));
    // The new one is the first that is kept.
    let mut kept = 1;
    for Candidate { path, .. } in candidates {
        let is_superfluous = match CheckedBackup::of(&path).await {
            Ok(CheckedBackup { identity: Some(identity), .. }) if identity.id == store => {
                kept += 1;
                kept > keep
            }
            Ok(_) => false,
            Err(_) => is_damaged_store(&path).map_err(failed)?,
        };
        if is_superfluous {
            fs::remove_file(&path).map_err(failed)?;
            print(&format!("removed {}", path.display()))?;
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Whether a file that fails the check was an SQLite file, or the beginning of one.
fn is_damaged_store(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(MAGIC.starts_with(&begin))
}

/// A name with every number replaced by one sign.
fn shape(name: &str) -> String {
    let mut shape = String::with_capacity(name.len());
    for char in name.chars() {
        if !char.is_ascii_digit() {
            shape.push(char);
        } else if !shape.ends_with('#') {
            shape.push('#');
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_of_one_series_differ_in_numbers() {
        assert_eq!(shape("store-2026-11-28.db"), shape("store-2026-1-2.db"));
        assert_ne!(shape("store-2026-11-28.db"), shape("before-2026-11-28.db"));
        assert_ne!(shape("store-1.db"), shape("store-1.db-wal"));
    }
}
