//! Contents in the state folder: backups under their hashes, and the incoming content of the present order.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::digest::{self, Copied, Sha256Hex};
use crate::error::{Context, Error, Refusal, Result};
use crate::order::Content;
use crate::state_folder::sync_folder;

/// Suffix of a content that is not complete.
const PART: &str = ".part";

/// Contents of the state folder.
#[derive(Debug)]
pub(crate) struct BlobStore {
    backups: PathBuf,
    incoming: PathBuf,
}

impl BlobStore {
    pub(crate) fn new(state: &Path) -> Self {
        Self { backups: state.join("blobs"), incoming: state.join("incoming") }
    }

    /// Removes what an interrupted run left: incoming contents, and backups that were not complete.
    pub(crate) fn remove_leftovers(&self) -> Result<()> {
        for name in names(&self.incoming)? {
            remove(&self.incoming.join(name))?;
        }
        for name in names(&self.backups)?.into_iter().filter(|name| name.ends_with(PART)) {
            remove(&self.backups.join(name))?;
        }
        Ok(())
    }

    /// Copies and checks the content of an order. Never copies more than its size.
    pub(crate) fn import(&self, source: &Path, content: &Content) -> Result<()> {
        // Without blocking, since a FIFO without a writer would never be opened.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(source, flags, Mode::empty());
        let mut file = File::from(file.context(format!("opening the blob {}", source.display()))?);
        let metadata = file.metadata().context(format!("stat of the blob {}", source.display()))?;
        if !metadata.is_file() {
            return Err(Refusal::Blob("is not a regular file".to_owned()).into());
        }
        if metadata.len() != content.size {
            let told = format!("has {} bytes, not the `size` {}", metadata.len(), content.size);
            return Err(Refusal::Blob(told).into());
        }
        let name = self.incoming.join(content.sha256.as_str());
        let copied = write(&mut file, &name, content.size)?;
        if copied.size != content.size || copied.sha256 != content.sha256 {
            remove(&name)?;
            return Err(Refusal::Blob(format!(
                "has the SHA-256 {}, not the one of the order",
                copied.sha256
            ))
            .into());
        }
        Ok(())
    }

    /// Content of the present order, for reading.
    pub(crate) fn incoming(&self, sha256: &Sha256Hex) -> Result<File> {
        File::open(self.incoming.join(sha256.as_str())).context("opening the content of the order")
    }

    /// Keeps a copy of an open file. A copy and not a hard link: whoever has the file open for writing would change both.
    pub(crate) fn back_up(&self, file: &File, expected: &Content) -> Result<()> {
        if self.is_intact(&expected.sha256)? {
            return Ok(());
        }
        let mut source = file;
        source.seek(SeekFrom::Start(0)).context("reading the file for its backup")?;
        let name = self.backups.join(expected.sha256.as_str());
        let part = self.backups.join(format!("{}{PART}", expected.sha256));
        let copied = write(&mut source, &part, expected.size)?;
        if copied.sha256 != expected.sha256 {
            remove(&part)?;
            return Err(Refusal::Changed("the file".to_owned()).into());
        }
        fs::rename(&part, &name).context("naming the backup")?;
        sync_folder(&self.backups)
    }

    /// Backup of a content, for reading.
    pub(crate) fn backup(&self, sha256: &Sha256Hex) -> Result<File> {
        File::open(self.backups.join(sha256.as_str())).context(format!("opening the backup {sha256}"))
    }

    /// Whether there is a backup of that content whose bytes still have its hash.
    pub(crate) fn is_intact(&self, sha256: &Sha256Hex) -> Result<bool> {
        match File::open(self.backups.join(sha256.as_str())) {
            Ok(mut file) => {
                let found = digest::hash(&mut file).context(format!("reading the backup {sha256}"))?;
                Ok(found.sha256 == *sha256)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context(format!("opening the backup {sha256}")),
        }
    }

    /// Removes the content of an order that is no longer needed.
    pub(crate) fn remove_incoming(&self, sha256: &Sha256Hex) -> Result<()> {
        remove(&self.incoming.join(sha256.as_str()))
    }

    pub(crate) fn remove_backup(&self, sha256: &Sha256Hex) -> Result<()> {
        remove(&self.backups.join(sha256.as_str()))
    }

    /// Names of the backups that are not among `known`.
    pub(crate) fn unknown(&self, known: &HashSet<&Sha256Hex>) -> Result<Vec<String>> {
        let known: HashSet<&str> = known.iter().map(|sha256| sha256.as_str()).collect();
        let mut unknown = names(&self.backups)?;
        unknown.retain(|name| !known.contains(name.as_str()));
        Ok(unknown)
    }
}

/// Writes a durable file of at most `size` bytes; on failure there is none.
fn write(source: &mut impl Read, name: &Path, size: u64) -> Result<Copied> {
    let done = write_file(source, name, size);
    if done.is_err() {
        // The failure itself is what is reported; the next start removes what is left.
        let _ = fs::remove_file(name);
    }
    done
}

fn write_file(source: &mut impl Read, name: &Path, size: u64) -> Result<Copied> {
    let writing = || format!("writing {}", name.display());
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(name);
    let mut file = file.context(writing())?;
    allocate(&file, size).context(writing())?;
    let copied = digest::copy_hashed(source, &mut file, size).context(writing())?;
    if copied.size != size {
        return Err(Error::Io { what: writing(), source: ErrorKind::UnexpectedEof.into() });
    }
    file.sync_all().context(writing())?;
    Ok(copied)
}

/// Reserves space, so that a full disk is noticed before anything is written. Some file systems cannot.
pub(crate) fn allocate(file: &File, size: u64) -> rustix::io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        done => done,
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let listing = || format!("listing {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).context(listing())? {
        names.push(entry.context(listing())?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn remove(name: &Path) -> Result<()> {
    match fs::remove_file(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(format!("removing {}", name.display()))
        }
        _ => Ok(()),
    }
}
