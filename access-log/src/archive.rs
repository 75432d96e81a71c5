//! Archive of kept lines, for download.
//!
//! In a folder, `packs` holds one file per recorded batch, made of gzip *members*: the lines of one domain and day each,
//! byte for byte as they were logged. Only the one who recorded the batch knows which pack holds what: a pack is written
//! before those rows are committed, so a crash between leaves a file that nothing points at (see
//! [`Archive::files`]). `days` holds the files that they are sealed into: one per domain and day, in which small
//! members are compressed together and large ones are copied, since gzip files put together are a gzip file.

mod error;
mod file;
mod file_name;
mod gzip_assembler;
mod owner;
mod pack;
mod repack;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::NaiveDate;

pub use error::ArchiveError;
use error::failed;
pub use file::{ArchiveFile, FileRange, WrittenFile};
use file_name::{pack_file_name, parse_sealed_file_name, sealed_file_name};
use gzip_assembler::{DigestWriter, GzipAssembler};
pub use pack::{Member, MemberRef, Pack};
pub use repack::{RepackedLines, Repacker};

/// Sealed file: the kept lines of a domain's day.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedDay {
    /// File name in `days`: `<YYYY-MM-DD>-<domain>.log.gz`.
    pub file: String,
    /// Size of the gzip file in bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Number of lines in it.
    pub lines: u64,
}

/// Size in bytes below which members are compressed together: alone, each starts without the context of the others.
const SMALL: u64 = 64 << 10;

/// Folder of the packs, in that of the archive.
const PACKS: &str = "packs";
/// Folder of the sealed files.
const DAYS: &str = "days";
/// Prefix of the names of unfinished files.
const UNFINISHED: &str = ".unfinished-";

/// Folder of packs and sealed files. Several processes may share it.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
    packs: PathBuf,
    days: PathBuf,
}

impl Archive {
    /// Uses `folder`, which is created if it does not exist.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let (packs, days) = (folder.join(PACKS), folder.join(DAYS));
        let archive = Self { folder: folder.to_owned(), packs, days };
        for folder in [&archive.packs, &archive.days] {
            fs::create_dir_all(folder).map_err(failed("make", folder))?;
        }
        Ok(archive)
    }

    /// Makes the folder a store's, by a file in it; refuses one that is another store's already, which would find its own
    /// files superfluous and this one's missing.
    pub fn claim(&self, store: &str) -> Result<(), ArchiveError> {
        owner::claim(&self.folder, store)
    }

    /// The store that claimed the folder.
    pub fn owner(folder: &Path) -> Result<Option<String>, ArchiveError> {
        owner::owner(folder)
    }

    /// Writes a pack, durable on return. A name that was used before is refused.
    pub fn write(&self, pack: &Pack) -> Result<(), ArchiveError> {
        let path = self.packs.join(pack_file_name(&pack.name)?);
        write_unfinished(&self.packs, |file| file.write_all(&pack.data).map_err(failed("write", &path)))?
            .persist_noclobber(&path)
            .map_err(|error| {
                if error.error.kind() == io::ErrorKind::AlreadyExists {
                    ArchiveError::PackExists(pack.name.clone())
                } else {
                    failed("write", &path)(error.error)
                }
            })?;
        sync_folder(&self.packs)
    }

    /// Opens a range: a reader of exactly its bytes, which are a gzip file of their own. A range that its file does not
    /// wholly hold is refused before a byte of it is read.
    pub fn read(&self, range: &FileRange) -> Result<io::Take<File>, ArchiveError> {
        let &FileRange { ref file, offset, length, .. } = range;
        let path = self.path(file)?;
        let missing = || ArchiveError::Missing { file: file.clone(), offset, length };
        let mut opened = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => failed("open", &path)(error),
        })?;
        let size = opened.metadata().map_err(failed("look at", &path))?.len();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(missing());
        }
        opened.seek(SeekFrom::Start(offset)).map_err(failed("read", &path))?;
        Ok(opened.take(length))
    }

    /// Writes the sealed file of a domain's day from `ranges`, in that order, durable on return. A file that exists is
    /// replaced atomically: whoever reads it meanwhile reads on in the old one.
    pub fn seal(
        &self,
        domain: &str,
        day: NaiveDate,
        ranges: &[FileRange],
    ) -> Result<SealedDay, ArchiveError> {
        self.seal_from(domain, day, ranges, |range| self.read(range))
    }

    /// Writes a sealed file like [`Archive::seal`], from ranges that `open` finds, which may lie elsewhere than in the folder.
    pub fn seal_from<R: Read>(
        &self,
        domain: &str,
        day: NaiveDate,
        ranges: &[FileRange],
        open: impl Fn(&FileRange) -> Result<R, ArchiveError>,
    ) -> Result<SealedDay, ArchiveError> {
        let name = sealed_file_name(domain, day)?;
        let path = self.days.join(&name);
        let mut sealed = SealedDay { file: name, size: 0, sha256: [0; 32], lines: 0 };
        let file = write_unfinished(&self.days, |file| {
            let mut assembler = GzipAssembler::new(DigestWriter::new(file), &path);
            for range in ranges {
                let (member, from) = (open(range)?, self.path(&range.file)?);
                if range.length < SMALL {
                    assembler.recompress(member, &from)?;
                } else {
                    assembler.copy(member, &from)?;
                }
            }
            (sealed.size, sealed.sha256) = assembler.finish()?.finish();
            Ok(())
        })?;
        file.persist(&path).map_err(|error| failed("write", &path)(error.error))?;
        sync_folder(&self.days)?;
        sealed.lines = ranges.iter().map(|range| range.lines).sum();
        Ok(sealed)
    }

    /// Lists the finished files with their times. Only the one who recorded the batches knows which of them nothing points at;
    /// a young file may have rows that are just about to be committed, or readers.
    pub fn files(&self) -> Result<Vec<WrittenFile>, ArchiveError> {
        let mut files = Vec::new();
        for (folder, name) in [(&self.packs, PACKS), (&self.days, DAYS)] {
            for entry in entries(folder)? {
                let file = ArchiveFile::from_relative_path(&format!("{name}/{}", entry.name));
                files.extend(file.map(|file| WrittenFile { file, written: entry.modified }));
            }
        }
        Ok(files)
    }

    /// Opens a whole file; `None` where there is none.
    pub fn open_file(&self, file: &ArchiveFile) -> Result<Option<File>, ArchiveError> {
        let path = self.path(file)?;
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// Deletes a file. It is no error if it is gone already.
    pub fn delete(&self, file: &ArchiveFile) -> Result<(), ArchiveError> {
        delete(&self.path(file)?)
    }

    /// Deletes the files that a crash left unfinished before `cut_off`, and returns their number.
    pub fn delete_unfinished(&self, cut_off: SystemTime) -> Result<usize, ArchiveError> {
        let mut count = 0;
        for folder in [&self.packs, &self.days] {
            for entry in entries(folder)? {
                if entry.modified < cut_off && entry.name.starts_with(UNFINISHED) {
                    delete(&folder.join(entry.name))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    fn path(&self, file: &ArchiveFile) -> Result<PathBuf, ArchiveError> {
        Ok(self.folder.join(file.relative_path()?))
    }
}

/// Writes a file under a temporary name, its content durable on return. Dropped, it is deleted.
fn write_unfinished(
    folder: &Path,
    content: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), ArchiveError>,
) -> Result<tempfile::NamedTempFile, ArchiveError> {
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(UNFINISHED).tempfile_in(folder).map_err(failed("write in", folder))?;
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

/// Name of a file in a folder, and when it was last written.
struct Entry {
    name: String,
    modified: SystemTime,
}

/// Lists the files in `folder`.
fn entries(folder: &Path) -> Result<Vec<Entry>, ArchiveError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        // A file that another process deleted since the folder was listed needs no clean-up.
        let Ok(modified) = entry.metadata().and_then(|file| file.modified()) else { continue };
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(Entry { name, modified });
        }
    }
    Ok(entries)
}

fn delete(path: &Path) -> Result<(), ArchiveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path)(error)),
        _ => Ok(()),
    }
}
