//! Kept lines of access logs in a folder.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use pilothouse_access_log::archive::{Archive, ArchiveError, Pack, Piece, Stored};
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::{LogArchive, SealedLog};

use crate::failure::Failure;

/// Bytes handed on at once.
const CHUNK: usize = 64 << 10;

/// The archive in a folder, which several servers may share.
#[derive(Clone, Debug)]
pub(crate) struct LogFolder(Archive);

impl LogFolder {
    /// Uses a folder, and makes it if it does not exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let archive = Archive::open(folder);
        let archive =
            archive.map_err(|error| Failure::failed(format!("log_dir {}", folder.display()), error))?;
        Ok(Self(archive))
    }

    /// Writes a pack, durable when this returns.
    pub(crate) fn write(&self, pack: &Pack) -> Result<(), ArchiveError> {
        self.0.write(pack)
    }

    /// The next bytes of the chunks that are left; none when all were read.
    fn next(&self, left: &mut VecDeque<LogChunk>, open: &mut Option<io::Take<File>>) -> io::Result<Vec<u8>> {
        loop {
            let Some(reader) = open else {
                let Some(chunk) = left.pop_front() else { return Ok(Vec::new()) };
                *open = Some(self.0.read(&piece(&chunk)).map_err(io::Error::other)?);
                continue;
            };
            let mut read = Vec::with_capacity(CHUNK);
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut read)?;
            if !read.is_empty() {
                return Ok(read);
            }
            *open = None;
        }
    }
}

#[async_trait]
impl LogArchive for LogFolder {
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog> {
        let (archive, name) = (self.0.clone(), name.to_owned());
        let pieces: Vec<_> = chunks.iter().map(piece).collect();
        let sealed = blocking(move || archive.seal(&name, day, &pieces)).await?;
        let length = i64::try_from(sealed.size).map_err(io::Error::other)?;
        Ok(SealedLog { length, sha256: sealed.sha256 })
    }

    fn read(&self, chunks: Vec<LogChunk>) -> BoxStream<'static, io::Result<Vec<u8>>> {
        let start = (self.clone(), VecDeque::from(chunks), None);
        stream::try_unfold(start, |(folder, mut left, mut open)| async {
            let next = tokio::task::spawn_blocking(move || {
                let read = folder.next(&mut left, &mut open)?;
                Ok::<_, io::Error>((read, (folder, left, open)))
            });
            let (read, rest) = next.await.map_err(io::Error::other)??;
            Ok((!read.is_empty()).then_some((read, rest)))
        })
        .boxed()
    }

    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()> {
        let (archive, stored) = (self.0.clone(), Stored::Day(name.to_owned(), day));
        blocking(move || archive.delete(&stored)).await
    }

    async fn prune(&self, keep: HashSet<LogFile>, before: DateTime<Utc>) -> io::Result<u64> {
        let archive = self.0.clone();
        blocking(move || {
            archive.delete_unfinished(before.into())?;
            let mut files = archive.written_before(before.into())?;
            files.retain(|file| !keep.contains(&log_file(file)));
            files.iter().try_for_each(|file| archive.delete(file))?;
            Ok(files.len() as u64)
        })
        .await
    }
}

/// A chunk, as the archive knows it.
fn piece(chunk: &LogChunk) -> Piece {
    let stored = match &chunk.file {
        LogFile::Pack(name) => Stored::Pack(name.clone()),
        LogFile::Sealed(name) => Stored::Day(name.clone(), chunk.day),
    };
    let (offset, length, lines) = (bytes(chunk.offset), bytes(chunk.length), bytes(chunk.lines));
    Piece { stored, offset, length, lines }
}

/// A file, as the domain knows it: the name of a sealed one is of one day alone.
fn log_file(stored: &Stored) -> LogFile {
    match stored {
        Stored::Pack(name) => LogFile::Pack(name.clone()),
        Stored::Day(name, _) => LogFile::Sealed(name.clone()),
    }
}

/// Offsets and lengths are never negative.
fn bytes(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Waits for the disk on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::TryStreamExt;

    use super::*;

    fn chunk(file: LogFile, offset: i64, length: i64) -> LogChunk {
        let day = NaiveDate::from_ymd_opt(2016, 9, 29).unwrap();
        LogChunk {
            id: 1,
            domain_id: 1,
            day,
            kept_from: day,
            file,
            offset,
            length,
            lines: 1,
            raw_length: length,
            place: 0,
            is_open: false,
            sha256: None,
        }
    }

    async fn read(folder: &LogFolder, chunks: &[LogChunk]) -> io::Result<String> {
        let parts: Vec<Vec<u8>> = folder.read(chunks.to_vec()).try_collect().await?;
        Ok(io::read_to_string(flate2::read::MultiGzDecoder::new(&*parts.concat())).unwrap())
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    #[tokio::test]
    async fn sealed_chunks_read_as_they_did_in_their_packs() {
        let place = tempfile::tempdir().unwrap();
        let folder = LogFolder::open(place.path()).unwrap();
        let parts = [gzip("one"), gzip(&"two".repeat(3 * CHUNK)), gzip("three")];
        let lengths = parts.each_ref().map(|part| i64::try_from(part.len()).unwrap());
        for (name, data) in [("a", parts[..2].concat()), ("b", parts[2].clone())] {
            folder.write(&Pack { name: name.to_owned(), members: Vec::new(), data }).unwrap();
        }
        let pack = |name: &str| LogFile::Pack(name.to_owned());
        let chunks = [
            chunk(pack("a"), lengths[0], lengths[1]),
            chunk(pack("b"), 0, lengths[2]),
            chunk(pack("a"), 0, lengths[0]),
        ];
        let expected = format!("{}threeone", "two".repeat(3 * CHUNK));
        assert_eq!(read(&folder, &chunks).await.unwrap(), expected);

        let day = chunks[0].day;
        let file = folder.seal("1-1-3-3", day, &chunks).await.unwrap();
        let name = LogFile::Sealed("1-1-3-3".to_owned());
        let sealed = [chunk(name.clone(), 0, file.length), chunk(pack("b"), 0, lengths[2])];
        assert_eq!(read(&folder, &sealed).await.unwrap(), format!("{expected}three"));

        let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
        let keep = HashSet::from([pack("b"), name]);
        assert_eq!(folder.prune(keep.clone(), DateTime::UNIX_EPOCH).await.unwrap(), 0);
        assert_eq!(folder.prune(keep, later).await.unwrap(), 1);
        assert!(read(&folder, &chunks).await.is_err(), "what is missing is an error");
        assert!(folder.seal("1-1-3-3", day, &chunks).await.is_err());
        assert_eq!(read(&folder, &sealed).await.unwrap(), format!("{expected}three"), "and changes nothing");
        assert_eq!(folder.prune(HashSet::from([pack("b")]), later).await.unwrap(), 1, "an orphan of a crash");
        folder.delete("1-1-3-3", day).await.unwrap();
        assert!(read(&folder, &sealed).await.is_err());
    }
}
