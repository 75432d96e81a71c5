//! Kept lines, for download.
//!
//! In a folder, `packs` holds one file per recorded batch, made of gzip *members*: the lines of one domain and day each,
//! byte for byte as they were logged. Which pack holds what is known only to whoever recorded the batch: a pack is written
//! before those rows are committed, so a crash between leaves a file that nothing points at, see [`Archive::written_before`].
//! `days` holds what they were sealed into: one file per domain and day, in which small members are compressed together and
//! large ones stand as they are, since gzip files put together are a gzip file.

mod sealing;

use std::fs::{self, File};
use std::io::Read as _;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::DomainId;
use sealing::{Sealing, Summed};

/// Kept lines of one batch, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// Of 1 to 64 letters, digits, `-` and `_`; never used twice in a folder.
    pub name: String,
    /// What is in it, in the order of their offsets. A domain and day may occur twice: then the last is an open line's.
    pub members: Vec<Member>,
    /// The gzip members one after the other.
    pub data: Vec<u8>,
}

/// The kept lines of one domain and day in one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Whose lines.
    pub domain: DomainId,
    /// The day, in the zone of [`crate::Rules::timezone`].
    pub day: NaiveDate,
    /// Where the gzip member begins in the pack, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Its lines.
    pub lines: u64,
    /// Its bytes before compression.
    pub raw_length: u64,
    /// Whether it is one line without a line end, which is withdrawn if it grows.
    pub is_open: bool,
}

/// Names a member: no two have the same pack and offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberRef {
    /// Of its pack.
    pub pack: String,
    /// In it, in bytes.
    pub offset: u64,
}

/// Where kept lines lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stored {
    /// In the pack of this name.
    Pack(String),
    /// In the sealed file of this name and day.
    Day(String, NaiveDate),
}

/// Kept lines as far as reading needs them: gzip by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The file.
    pub stored: Stored,
    /// In it, in bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
    /// In it.
    pub lines: u64,
}

/// A sealed day of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The file's name in `days`: `<YYYY-MM-DD>-<domain>.log.gz`.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: [u8; 32],
    /// Lines in it.
    pub lines: u64,
}

/// The archive could not do what was asked, and changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A name that could leave the folder, or is no name at all.
    #[error("{0:?} cannot be the name of a file in the archive")]
    Name(String),
    /// A pack of that name exists.
    #[error("the pack {0} exists already")]
    Exists(String),
    /// What was recorded is not there, or not wholly.
    #[error("{stored:?} has no {length} bytes at {offset}")]
    Missing {
        /// Which file.
        stored: Stored,
        /// Where in it.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// The disk is full.
    #[error("no space is left for {}", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Below so many bytes members are compressed together: alone, each begins without knowing what the others say.
const SMALL: u64 = 64 << 10;

/// Begins the names of unfinished files.
const UNFINISHED: &str = ".unfinished-";

/// A folder of packs and days. Several processes may share it.
#[derive(Debug, Clone)]
pub struct Archive {
    packs: PathBuf,
    days: PathBuf,
}

impl Archive {
    /// Uses `folder`, and makes it if it does not exist.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let archive = Self { packs: folder.join("packs"), days: folder.join("days") };
        for folder in [&archive.packs, &archive.days] {
            fs::create_dir_all(folder).map_err(failed("make", folder))?;
        }
        Ok(archive)
    }

    /// Writes a pack, durable when this returns. A name that was used before is refused.
    pub fn write(&self, pack: &Pack) -> Result<(), ArchiveError> {
        let path = self.pack(&pack.name)?;
        write_whole(&self.packs, |file| file.write_all(&pack.data).map_err(failed("write", &path)))?
            .persist_noclobber(&path)
            .map_err(|error| {
                if error.error.kind() == io::ErrorKind::AlreadyExists {
                    ArchiveError::Exists(pack.name.clone())
                } else {
                    failed("write", &path)(error.error)
                }
            })?;
        sync_folder(&self.packs)
    }

    /// Opens a piece: a reader of exactly its bytes, which are a gzip file of their own. One that its file does not wholly
    /// hold is refused before a byte of it is read.
    pub fn read(&self, piece: &Piece) -> Result<io::Take<File>, ArchiveError> {
        let path = self.path(&piece.stored)?;
        let missing = || {
            let stored = piece.stored.clone();
            ArchiveError::Missing { stored, offset: piece.offset, length: piece.length }
        };
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => failed("open", &path)(error),
        })?;
        let size = file.metadata().map_err(failed("look at", &path))?.len();
        if piece.offset.checked_add(piece.length).is_none_or(|end| end > size) {
            return Err(missing());
        }
        file.seek(SeekFrom::Start(piece.offset)).map_err(failed("read", &path))?;
        Ok(file.take(piece.length))
    }

    /// Writes the file of a domain's day from `pieces`, in that order, durable when this returns. A file that exists is
    /// replaced at once: whoever reads it meanwhile reads on in the old one.
    pub fn seal(&self, domain: &str, day: NaiveDate, pieces: &[Piece]) -> Result<Sealed, ArchiveError> {
        let path = self.day(domain, day)?;
        let mut sums = (0, Sha256::new());
        let file = write_whole(&self.days, |file| {
            let mut sealing = Sealing::new(Summed(file, &mut sums), &path);
            for piece in pieces {
                let (member, from) = (self.read(piece)?, self.path(&piece.stored)?);
                if piece.length < SMALL {
                    sealing.repack(member, &from)?;
                } else {
                    sealing.copy(member, &from)?;
                }
            }
            sealing.finish()
        })?;
        file.persist(&path).map_err(|error| failed("write", &path)(error.error))?;
        sync_folder(&self.days)?;
        let file = file_name(domain, day)?;
        let lines = pieces.iter().map(|piece| piece.lines).sum();
        Ok(Sealed { file, size: sums.0, sha256: sums.1.finalize().into(), lines })
    }

    /// The files last written before `cut_off`. Which of them nothing points at is known to whoever recorded the batches;
    /// the cut-off spares files whose rows are just about to be committed, or that are being read.
    pub fn written_before(&self, cut_off: SystemTime) -> Result<Vec<Stored>, ArchiveError> {
        let packs = old_files(&self.packs, cut_off)?.into_iter();
        let packs = packs.filter(|name| !name.starts_with(UNFINISHED)).map(Stored::Pack);
        let days = old_files(&self.days, cut_off)?;
        Ok(packs.chain(days.iter().filter_map(|name| stored_day(name))).collect())
    }

    /// Deletes a file. One that is gone is fine.
    pub fn delete(&self, stored: &Stored) -> Result<(), ArchiveError> {
        delete(&self.path(stored)?)
    }

    /// Deletes the files that a crash left unfinished before `cut_off`; how many those were.
    pub fn delete_unfinished(&self, cut_off: SystemTime) -> Result<usize, ArchiveError> {
        let mut count = 0;
        for folder in [&self.packs, &self.days] {
            for name in old_files(folder, cut_off)?.into_iter().filter(|name| name.starts_with(UNFINISHED)) {
                delete(&folder.join(name))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn path(&self, stored: &Stored) -> Result<PathBuf, ArchiveError> {
        match stored {
            Stored::Pack(name) => self.pack(name),
            Stored::Day(name, day) => self.day(name, *day),
        }
    }

    fn pack(&self, name: &str) -> Result<PathBuf, ArchiveError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            return Err(ArchiveError::Name(name.to_owned()));
        }
        Ok(self.packs.join(name))
    }

    fn day(&self, domain: &str, day: NaiveDate) -> Result<PathBuf, ArchiveError> {
        Ok(self.days.join(file_name(domain, day)?))
    }
}

/// A domain is what DNS allows in one, in lower case; so it can hold no separator and cannot begin with a dot.
fn file_name(domain: &str, day: NaiveDate) -> Result<String, ArchiveError> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    // 231 bytes leave room for date and ending in the 255 a file name may have.
    let labels_are_fine = domain.split('.').all(|label| !label.is_empty() && label.bytes().all(is_plain));
    if domain.len() > 231 || !labels_are_fine {
        return Err(ArchiveError::Name(domain.to_owned()));
    }
    Ok(format!("{}-{domain}.log.gz", day.format("%Y-%m-%d")))
}

/// The sealed file of that name in `days`.
fn stored_day(file: &str) -> Option<Stored> {
    let (day, rest) = file.split_at_checked(10)?;
    let name = rest.strip_prefix('-')?.strip_suffix(".log.gz")?;
    Some(Stored::Day(name.to_owned(), NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::Full { path, source },
        _ => ArchiveError::Io { action, path, source },
    }
}

/// A file under a temporary name with its content on the disk. Dropped, it is deleted.
fn write_whole(
    folder: &Path,
    content: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), ArchiveError>,
) -> Result<tempfile::NamedTempFile, ArchiveError> {
    let make = || tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder);
    let mut file = make().map_err(failed("write in", folder))?;
    let mut writer = BufWriter::new(file.as_file_mut());
    content(&mut writer)?;
    writer.flush().map_err(failed("write in", folder))?;
    drop(writer);
    file.as_file().sync_all().map_err(failed("flush a file in", folder))?;
    Ok(file)
}

/// Makes renames and deletions in `folder` durable.
fn sync_folder(folder: &Path) -> Result<(), ArchiveError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush", folder))
}

fn old_files(folder: &Path, cut_off: SystemTime) -> Result<Vec<String>, ArchiveError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        // A file that is gone meanwhile is no longer anybody's concern.
        let Ok(modified) = entry.metadata().and_then(|file| file.modified()) else { continue };
        if modified < cut_off
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

fn delete(path: &Path) -> Result<(), ArchiveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path)(error)),
        _ => Ok(()),
    }
}
