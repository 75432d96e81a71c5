//! Metadata of a file: mode, owner, group, modification time and extended attributes, with ACLs and security labels.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};

/// Largest value of an extended attribute on Linux, `XATTR_SIZE_MAX`.
const MOST_XATTR_BYTES: usize = 64 * 1024;
/// Namespace of attributes that only somebody who may write the file can set.
const USER: &str = "user.";
/// File capabilities, which new bytes must not inherit.
pub(crate) const CAPABILITY: &str = "security.capability";
/// Attributes that the kernel computes over inode or content: copied to other bytes they would be wrong.
const NOT_COPIED: &[&str] = &["security.evm", "security.ima", CAPABILITY];
/// Attributes that a new file may inherit from its folder, and that are removed where the old file had none.
const INHERITED: &[&str] = &["system.posix_acl_access"];

/// Metadata that a replaced file keeps and a reverted one gets back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileMetadata {
    /// Permission bits with setuid, setgid and sticky bit.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Seconds of the modification time since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    pub mtime_nanoseconds: u32,
    /// Extended attributes, their values in hexadecimal.
    pub xattrs: BTreeMap<String, String>,
}

/// Reason for which metadata is set, which decides about inherited attributes and the modification time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Setting {
    /// A file where there was none: it keeps the ACL that its folder gives.
    Created,
    /// New content: exactly the attributes of the old file, modified now.
    Updated,
    /// Old content put back: exactly its attributes, and its modification time.
    Restored,
}

impl FileMetadata {
    /// Whether mode, owner and group are equal: what an order can ask for.
    pub(crate) fn has_same_rights(&self, other: &Self) -> bool {
        (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)
    }

    /// Sets the metadata of a staged file: ownership first, because `chown` clears bits and capabilities; `user.*` attributes
    /// while the file is still writable, which they need; then mode, ACL and labels. Whatever cannot be set is an error, for
    /// a lost label or ACL is noticed too late.
    pub(crate) fn set(&self, file: &File, setting: Setting) -> Result<()> {
        let now = rustix::fs::fstat(file).context("stat of the staged file")?;
        if (now.st_uid, now.st_gid) != (self.uid, self.gid) {
            rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
                .context(format!("setting owner {} and group {} of the staged file", self.uid, self.gid))?;
        }
        let mode = Mode::from_raw_mode(self.mode);
        let changing = || format!("setting mode {:04o} of the staged file", self.mode);
        self.set_xattrs(file, |name| name.starts_with(USER))?;
        rustix::fs::fchmod(file, mode).context(changing())?;
        if setting != Setting::Created {
            self.remove_inherited(file)?;
        }
        self.set_xattrs(file, |name| !name.starts_with(USER))?;
        // An ACL carries the permissions of owner, mask and others, and may have set those of the old file.
        if rustix::fs::fstat(file).context("stat of the staged file")?.st_mode & 0o7777 != self.mode {
            rustix::fs::fchmod(file, mode).context(changing())?;
        }
        if setting == Setting::Restored {
            let last_modification = Timespec { tv_sec: self.mtime, tv_nsec: self.mtime_nanoseconds.into() };
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            rustix::fs::futimens(file, &Timestamps { last_access, last_modification })
                .context("setting the modification time of the staged file")?;
        }
        Ok(())
    }

    fn remove_inherited(&self, file: &File) -> Result<()> {
        let present = xattrs(file)?;
        for name in INHERITED.iter().filter(|name| present.contains_key(**name)) {
            if !self.xattrs.contains_key(*name) {
                rustix::fs::fremovexattr(file, *name)
                    .context(format!("removing the attribute {name} of the staged file"))?;
            }
        }
        Ok(())
    }

    fn set_xattrs(&self, file: &File, chosen: fn(&str) -> bool) -> Result<()> {
        let present = xattrs(file)?;
        for (name, value) in self.xattrs.iter().filter(|(name, _)| chosen(name)) {
            if present.get(name) == Some(value) {
                continue;
            }
            let setting = || format!("setting the attribute {name} of the staged file");
            let bytes = hex::decode(value).map_err(std::io::Error::other).context(setting())?;
            rustix::fs::fsetxattr(file, name.as_str(), &bytes, XattrFlags::empty()).context(setting())?;
        }
        Ok(())
    }
}

/// Whether the file has capabilities.
pub(crate) fn has_capabilities(file: impl AsFd) -> Result<bool> {
    let mut value = [0; 64];
    match rustix::fs::fgetxattr(file, CAPABILITY, &mut value) {
        Ok(_) | Err(Errno::RANGE) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error).context("reading the capabilities of the file"),
    }
}

/// Attributes of an open file that are copied, their values in hexadecimal.
pub(crate) fn xattrs(file: impl AsFd) -> Result<BTreeMap<String, String>> {
    let mut names = vec![0_u8; MOST_XATTR_BYTES];
    let length = match rustix::fs::flistxattr(file.as_fd(), &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error).context("listing the extended attributes"),
    };
    let mut attributes = BTreeMap::new();
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name)
            .map_err(std::io::Error::other)
            .context("reading an attribute's name")?;
        if NOT_COPIED.contains(&name) {
            continue;
        }
        value.resize(MOST_XATTR_BYTES, 0);
        let length = rustix::fs::fgetxattr(file.as_fd(), name, &mut value[..])
            .context(format!("reading the extended attribute {name}"))?;
        attributes.insert(name.to_owned(), hex::encode(&value[..length]));
    }
    Ok(attributes)
}
