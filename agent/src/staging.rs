//! Staging and swapping: a complete, durable and checked temporary file beside the target, then one rename.

use std::io::{Seek, SeekFrom};

use crate::agent::Agent;
use crate::blob_store::allocate;
use crate::digest;
use crate::error::{Context, Error, Refusal, Result};
use crate::file_version::{FileVersion, Found};
use crate::metadata::Setting;
use crate::parent_folder::ParentFolder;
use crate::task_record::TaskRecord;

/// Least space that is left free on a file system, in bytes; at least the percent of the settings is, too.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Where the bytes of a version are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Incoming,
    Backup,
}

impl Agent {
    /// Writes the temporary file of a version: bytes, ownership, mode, attributes, fsync, and its hash once more. A version
    /// without a file needs none.
    pub(crate) fn stage(
        &self,
        parent: &ParentFolder,
        temporary: &str,
        version: &FileVersion,
        source: Source,
        setting: Setting,
    ) -> Result<()> {
        let FileVersion::Present { sha256, size, metadata } = version else { return Ok(()) };
        let mut bytes = match source {
            Source::Incoming => self.blobs.incoming(sha256)?,
            Source::Backup => self.blobs.backup(sha256)?,
        };
        let mut staged = parent.create(temporary)?;
        let writing = "writing the temporary file";
        allocate(&staged, *size).context(writing)?;
        digest::copy_hashed(&mut bytes, &mut staged, *size).context(writing)?;
        metadata.set(&staged, setting)?;
        staged.sync_all().context("fsync of the temporary file")?;
        staged.seek(SeekFrom::Start(0)).context("reading the temporary file")?;
        let found = digest::hash(&mut staged).context("reading the temporary file")?;
        if found.sha256 != *sha256 || found.size != *size {
            let told = "changed while it was copied into the folder of the file";
            return Err(Refusal::Blob(told.to_owned()).into());
        }
        Ok(())
    }

    /// Refuses what would leave less than the reserve free, in the folder of the file or in the state folder.
    pub(crate) fn require_space(&self, parent: &ParentFolder, path: &str, new: u64, old: u64) -> Result<()> {
        let state = std::fs::File::open(self.state_dir()).context("opening the state folder")?;
        let device = |stat: rustix::io::Result<rustix::fs::Stat>| stat.map(|stat| stat.st_dev);
        let folder = parent.descriptor();
        let one = device(rustix::fs::fstat(folder)).context("stat of the folder of the file")?;
        let other = device(rustix::fs::fstat(&state)).context("stat of the state folder")?;
        let needed = new.saturating_add(old);
        let shared = if one == other { new } else { 0 };
        let percent = self.settings.reserve_percent;
        require(&state, &self.state_dir().display().to_string(), needed.saturating_add(shared), percent)?;
        require(folder, path, new, percent)
    }
}

/// Puts the staged file, or nothing, in the place of what was found, durably.
pub(crate) fn swap(
    parent: &ParentFolder,
    record: &TaskRecord,
    found: &Found,
    version: &FileVersion,
) -> Result<()> {
    if !parent.is_unchanged(found)? {
        return Err(Refusal::Changed(record.path.to_string()).into());
    }
    match version {
        FileVersion::Present { .. } => parent.replace(&record.temporary, found.open.is_none())?,
        FileVersion::Absent if found.open.is_some() => parent.remove()?,
        FileVersion::Absent => {}
    }
    parent.sync()
}

fn require(folder: impl std::os::fd::AsFd, name: &str, bytes: u64, percent: u8) -> Result<()> {
    let free = rustix::fs::fstatvfs(folder).context(format!("reading the free space of {name}"))?;
    let reserve = RESERVE.max(free.f_blocks.saturating_mul(free.f_frsize) / 100 * u64::from(percent));
    let needed = bytes.saturating_add(reserve);
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(Error::Refused(Refusal::Space { folder: name.to_owned(), free, needed, reserve }))
}
