//! State folder: lock, journal, backups and incoming content, private to the agent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Context, Error, Refusal, Result};

/// Locked state folder. The lock ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Creates the folder where it is missing, and locks it: one agent works on a machine.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        create(path)?;
        check(path)?;
        let name = path.join("lock");
        let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&name);
        let lock = lock.context(format!("opening {}", name.display()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Refusal::Busy(path.display().to_string()).into()),
            Err(error) => return Err(error).context(format!("locking {}", name.display())),
        }
        for below in ["blobs", "incoming"] {
            create(&path.join(below))?;
        }
        sync_folder(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Refuses a state folder of somebody else, or one that others may write.
pub(crate) fn check(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path).context(format!("stat of {}", path.display()))?;
    let user = rustix::process::geteuid().as_raw();
    let wrong = |what: String| Err(Error::Settings(format!("state_dir {}: {what}", path.display())));
    if !metadata.is_dir() {
        return wrong("is not a folder".to_owned());
    }
    if metadata.uid() != user {
        return wrong(format!("must belong to user {user}, but belongs to user {}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return wrong("must not be writable by group or others".to_owned());
    }
    Ok(())
}

fn create(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).context(format!("creating {}", path.display()))
}

/// Makes what was created, renamed or removed in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = File::open(path).context(format!("opening {}", path.display()))?;
    folder.sync_all().context(format!("fsync of {}", path.display()))
}
