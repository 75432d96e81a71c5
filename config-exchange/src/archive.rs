//! Zip archives, unpacked within limits.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use memchr::memmem;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::failure::{Failure, Result};
use crate::limits::{MAX_BYTES, MAX_FILES};

/// Signature that begins each file in the directory of an archive.
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";

/// File of an archive.
#[derive(Debug)]
pub(crate) struct File {
    /// Path in the archive, between slashes; never one on a disk.
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
}

impl File {
    /// The parts of the path.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }

    /// The content as text, which it must be.
    pub(crate) fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.content).map_err(|_| Failure::new(&*self.path, "is not UTF-8"))
    }
}

/// The files of an archive, by path. Folders are left out.
pub(crate) fn unpack(archive: &[u8]) -> Result<Vec<File>> {
    let failure = |reason: String| Failure::new("archive", reason);
    if archive.len() > MAX_BYTES {
        return Err(failure(format!("is longer than {} MiB", MAX_BYTES >> 20)));
    }
    // Before the directory is read, which takes memory for each file.
    if memmem::find_iter(archive, DIRECTORY_ENTRY).nth(MAX_FILES).is_some() {
        return Err(failure(format!("holds more than {MAX_FILES} files")));
    }
    let mut archive = ZipArchive::new(Cursor::new(archive))
        .map_err(|error| failure(format!("is not a zip archive: {error}")))?;
    let mut files = BTreeMap::new();
    let mut left = MAX_BYTES;
    for index in 0..archive.len() {
        let file =
            archive.by_index(index).map_err(|error| failure(format!("file {}: {error}", index + 1)))?;
        // As a portal on Windows writes it.
        let name = file.name().map_err(|error| failure(format!("file {}: {error}", index + 1)))?;
        let path = name.replace('\\', "/");
        if path.ends_with('/') {
            continue;
        }
        let mut content = Vec::new();
        // What the directory says of the size is not relied upon.
        let read = file.take(left as u64 + 1).read_to_end(&mut content);
        read.map_err(|error| Failure::new(&*path, format!("cannot be unpacked: {error}")))?;
        let Some(rest) = left.checked_sub(content.len()) else {
            return Err(failure(format!("holds more than {} MiB when it is unpacked", MAX_BYTES >> 20)));
        };
        left = rest;
        if files.insert(path.clone(), content).is_some() {
            return Err(Failure::new(path, "is in the archive twice"));
        }
    }
    Ok(files.into_iter().map(|(path, content)| File { path, content }).collect())
}

/// Packs files. Java reads archives from the front, so the sizes stand before the files.
pub(crate) fn pack(files: &[File]) -> Result<Vec<u8>> {
    let failure =
        |error: &dyn std::fmt::Display| Failure::new("archive", format!("cannot be written: {error}"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for File { path, content } in files {
        writer.start_file(&**path, options).map_err(|error| failure(&error))?;
        writer.write_all(content).map_err(|error| failure(&error))?;
    }
    Ok(writer.finish().map_err(|error| failure(&error))?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> File {
        File { path: path.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let packed = pack(&[file("größe/b.txt", "你好".as_bytes()), file("a\\b", b"")]).unwrap();
        let files = unpack(&packed).unwrap();
        let files: Vec<_> = files.iter().map(|file| (&*file.path, &*file.content)).collect();
        assert_eq!(files, [("a/b", &b""[..]), ("größe/b.txt", "你好".as_bytes())]);
        assert_eq!(packed[6] & 8, 0, "the sizes stand before the first file");
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = pack(&[file("a", &vec![0; MAX_BYTES]), file("b", b"x")]).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert_eq!(
            unpack(&bomb).unwrap_err().to_string(),
            "archive: holds more than 64 MiB when it is unpacked"
        );
        let mut many = b"PK\x01\x02".repeat(MAX_FILES + 1);
        assert_eq!(unpack(&many).unwrap_err().reason, "holds more than 10000 files");
        many.truncate(4);
        assert!(unpack(&many).unwrap_err().reason.starts_with("is not a zip archive"));
    }

    #[test]
    fn damage_is_named() {
        let mut packed = pack(&[file("a", &b"some content ".repeat(20))]).unwrap();
        packed[33] ^= 0x55;
        let refused = unpack(&packed).unwrap_err();
        assert!(refused.place == "a" && refused.reason.starts_with("cannot be unpacked"), "{refused}");
    }
}
