//! Folder of a target, opened beneath its allowed folder without following symbolic links. Everything later goes through its
//! descriptor, so a folder that is moved or replaced meanwhile cannot lead a write elsewhere.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags,
};
use rustix::io::Errno;

use crate::digest::{self, Sha256Hex};
use crate::error::{Context, Error, Refusal, Result};
use crate::file_version::{FileVersion, Found, Identity, OpenFile};
use crate::metadata::{self, FileMetadata};
use crate::policy::AllowedPath;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Open folder of a target.
#[derive(Debug)]
pub(crate) struct ParentFolder {
    folder: OwnedFd,
    name: String,
    path: String,
}

/// Whether the kernel resolves paths without symbolic links by itself (`openat2`, Linux 5.6). Without it the folders are
/// opened one after the other.
pub(crate) fn has_openat2() -> bool {
    let flags = ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(rustix::fs::CWD, "/", FOLDER, Mode::empty(), flags).is_ok()
}

impl ParentFolder {
    /// Opens the folder. The refusal tells a symbolic link from a folder that does not exist.
    pub(crate) fn open(path: &AllowedPath) -> Result<Self> {
        let target = path.target.to_string();
        let opening = |error: Errno| match error {
            Errno::LOOP | Errno::XDEV | Errno::NOTDIR => {
                Error::Refused(Refusal::SymbolicLink(path.target.folder().escape_debug().to_string()))
            }
            Errno::NOENT => Error::Refused(Refusal::NoFolder(target.clone())),
            error => Error::Io { what: format!("opening the folder of {target}"), source: error.into() },
        };
        let root = path.root.to_string_lossy();
        let components: Vec<&str> = root.split('/').filter(|name| !name.is_empty()).collect();
        let start = rustix::fs::open("/", FOLDER, Mode::empty()).map_err(opening)?;
        let root = open_beneath(start, &components).map_err(opening)?;
        let below: Vec<&str> = path.below.iter().map(String::as_str).collect();
        let folder = open_beneath(root, &below).map_err(opening)?;
        Ok(Self { folder, name: path.target.name().to_owned(), path: target })
    }

    /// File at the path: hashed, with its metadata, and with the reason for which it may not be replaced.
    pub(crate) fn find(&self) -> Result<Found> {
        let Some(before) = self.stat()? else {
            return Ok(Found { version: FileVersion::Absent, open: None });
        };
        if let Some(what) = not_regular(&before) {
            return Err(self.unfit(what));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())
            .context(format!("opening {}", self.path))?;
        let mut file = File::from(file);
        let stat = statx_of(&file).context(format!("stat of {}", self.path))?;
        if identity(&stat) != identity(&before) {
            return Err(Refusal::Changed(self.path.clone()).into());
        }
        let copied = digest::hash(&mut file).context(format!("reading {}", self.path))?;
        let metadata = FileMetadata {
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mtime: stat.stx_mtime.tv_sec,
            mtime_nanoseconds: stat.stx_mtime.tv_nsec,
            xattrs: metadata::xattrs(&file)?,
        };
        let unfit = match not_replaceable(&before) {
            None if metadata::has_capabilities(&file)? => Some("a file with capabilities"),
            unfit => unfit,
        };
        let version = FileVersion::Present { sha256: copied.sha256, size: copied.size, metadata };
        Ok(Found { version, open: Some(OpenFile { file, identity: identity(&stat), unfit }) })
    }

    /// Whether the path still leads to what was found.
    pub(crate) fn is_unchanged(&self, found: &Found) -> Result<bool> {
        let now = self.stat()?.as_ref().map(identity);
        Ok(now == found.open.as_ref().map(|open| open.identity))
    }

    fn stat(&self) -> Result<Option<Statx>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statx(&self.folder, &self.name, flags, StatxFlags::BASIC_STATS) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).context(format!("stat of {}", self.path)),
        }
    }

    pub(crate) fn unfit(&self, what: &'static str) -> Error {
        Refusal::Unfit { path: self.path.clone(), what }.into()
    }

    /// Creates a temporary file in the folder, for its owner alone until its metadata is set.
    pub(crate) fn create(&self, temporary: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, temporary, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .context(format!("creating the temporary file of {}", self.path))
    }

    /// Hash of a temporary file as it is now.
    pub(crate) fn hash_of_temporary(&self, temporary: &str) -> Result<Sha256Hex> {
        let reading = || format!("reading the temporary file of {}", self.path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, temporary, flags, Mode::empty()).context(reading())?;
        Ok(digest::hash(&mut File::from(file)).context(reading())?.sha256)
    }

    /// Renames a temporary file to the target; with `creating` it never replaces a file that came meanwhile.
    pub(crate) fn replace(&self, temporary: &str, creating: bool) -> Result<()> {
        let folder = &self.folder;
        let done = if creating {
            rustix::fs::renameat_with(folder, temporary, folder, &self.name, RenameFlags::NOREPLACE)
        } else {
            rustix::fs::renameat(folder, temporary, folder, &self.name)
        };
        done.context(format!("renaming the temporary file to {}", self.path))
    }

    /// Removes the target.
    pub(crate) fn remove(&self) -> Result<()> {
        rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())
            .context(format!("removing {}", self.path))
    }

    /// Removes a temporary file, and tells whether there was one.
    pub(crate) fn remove_temporary(&self, temporary: &str) -> Result<bool> {
        match rustix::fs::unlinkat(&self.folder, temporary, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).context(format!("removing the temporary file of {}", self.path)),
        }
    }

    /// Makes what was renamed or removed durable.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.folder).context(format!("fsync of the folder of {}", self.path))
    }

    /// Group that a new file gets: the folder's where that has the setgid bit, else the agent's.
    pub(crate) fn group_of_new_files(&self) -> Result<u32> {
        let stat = rustix::fs::fstat(&self.folder).context(format!("stat of the folder of {}", self.path))?;
        let inherits = stat.st_mode & 0o2000 != 0;
        Ok(if inherits { stat.st_gid } else { rustix::process::getegid().as_raw() })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Opens a folder beneath another one, by `openat2` or, where the kernel has none, component by component.
fn open_beneath(start: OwnedFd, components: &[&str]) -> rustix::io::Result<OwnedFd> {
    if components.is_empty() {
        return Ok(start);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&start, components.join("/"), FOLDER, Mode::empty(), resolve) {
        // Filters of system calls that are older than `openat2` answer EPERM.
        Err(Errno::NOSYS | Errno::PERM) => {}
        opened => return opened,
    }
    let mut folder = start;
    for name in components {
        folder = rustix::fs::openat(&folder, *name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(folder)
}

fn statx_of(file: &File) -> rustix::io::Result<Statx> {
    rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

fn identity(stat: &Statx) -> Identity {
    Identity {
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        size: stat.stx_size,
        ctime: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    }
}

fn not_regular(stat: &Statx) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Unknown => Some("not a regular file"),
    }
}

fn not_replaceable(stat: &Statx) -> Option<&'static str> {
    if stat.stx_nlink > 1 {
        Some("a file with several hard links")
    } else if stat.stx_mode & 0o6000 != 0 {
        Some("a setuid or setgid program")
    } else if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        Some("a mount point")
    } else if stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        Some("immutable or append-only")
    } else {
        None
    }
}
