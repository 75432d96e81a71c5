//! Kept lines of access logs in a folder.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read};
use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use pilothouse_access_log::archive::{Archive, ArchiveError, Pack, Piece};
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::LogArchive;

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

    fn open_chunk(&self, chunk: &LogChunk) -> io::Result<Box<dyn Read + Send>> {
        match &chunk.file {
            LogFile::Pack(_) => Ok(Box::new(self.0.read(&piece(chunk)).map_err(io::Error::other)?)),
            LogFile::Sealed(name) => {
                let file = self.0.open_day(name, chunk.day).map_err(io::Error::other)?;
                let file =
                    file.ok_or_else(|| io::Error::other(format!("the sealed file {name} is missing")))?;
                Ok(Box::new(file.take(bytes(chunk.length))))
            }
        }
    }

    /// The next bytes of the chunks that are left; none when all were read.
    fn next(
        &self,
        left: &mut VecDeque<LogChunk>,
        open: &mut Option<Box<dyn Read + Send>>,
    ) -> io::Result<Vec<u8>> {
        loop {
            let Some(reader) = open else {
                let Some(chunk) = left.pop_front() else { return Ok(Vec::new()) };
                *open = Some(self.open_chunk(&chunk)?);
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
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<i64> {
        let (archive, name) = (self.0.clone(), name.to_owned());
        let pieces: Vec<_> = chunks.iter().map(piece).collect();
        let sealed = blocking(move || archive.seal(&name, day, &pieces)).await?;
        i64::try_from(sealed.size).map_err(io::Error::other)
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
        let (archive, name) = (self.0.clone(), name.to_owned());
        blocking(move || archive.delete_day(&name, day)).await
    }

    async fn prune(&self, keep: HashSet<String>, before: DateTime<Utc>) -> io::Result<u64> {
        let archive = self.0.clone();
        blocking(move || {
            archive.delete_unfinished(before.into())?;
            let packs = archive.unreferenced(&keep, before.into())?;
            packs.iter().try_for_each(|pack| archive.delete(pack))?;
            Ok(packs.len() as u64)
        })
        .await
    }
}

/// A chunk of a pack, as the archive knows it.
fn piece(chunk: &LogChunk) -> Piece {
    let (LogFile::Pack(name) | LogFile::Sealed(name)) = &chunk.file;
    let (offset, length, lines) = (bytes(chunk.offset), bytes(chunk.length), bytes(chunk.lines));
    Piece { pack: name.clone(), offset, length, lines }
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
        }
    }

    async fn read(folder: &LogFolder, chunks: &[LogChunk]) -> io::Result<String> {
        let parts: Vec<Vec<u8>> = folder.read(chunks.to_vec()).try_collect().await?;
        Ok(String::from_utf8(parts.concat()).unwrap())
    }

    #[tokio::test]
    async fn sealed_chunks_read_as_they_did_in_their_packs() {
        let place = tempfile::tempdir().unwrap();
        let folder = LogFolder::open(place.path()).unwrap();
        let long = "x".repeat(3 * CHUNK + 5);
        for (name, data) in [("a", format!("one{long}two")), ("b", "three".to_owned())] {
            let data = data.into_bytes();
            folder.write(&Pack { name: name.to_owned(), members: Vec::new(), data }).unwrap();
        }
        let pack = |name: &str| LogFile::Pack(name.to_owned());
        let length = i64::try_from(long.len()).unwrap();
        let chunks = [chunk(pack("a"), 3, length), chunk(pack("b"), 0, 5), chunk(pack("a"), 3 + length, 3)];
        let expected = format!("{long}threetwo");
        assert_eq!(read(&folder, &chunks).await.unwrap(), expected);

        let day = chunks[0].day;
        let size = folder.seal("1-1-3-3", day, &chunks).await.unwrap();
        assert_eq!(size, length + 8);
        let sealed = [chunk(LogFile::Sealed("1-1-3-3".to_owned()), 0, size), chunk(pack("b"), 0, 5)];
        assert_eq!(read(&folder, &sealed).await.unwrap(), format!("{expected}three"));

        let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
        assert_eq!(folder.prune(HashSet::from(["b".to_owned()]), DateTime::UNIX_EPOCH).await.unwrap(), 0);
        assert_eq!(folder.prune(HashSet::from(["b".to_owned()]), later).await.unwrap(), 1);
        assert!(read(&folder, &chunks).await.is_err(), "what is missing is an error");
        assert!(folder.seal("1-1-3-3", day, &chunks).await.is_err());
        assert_eq!(read(&folder, &sealed).await.unwrap(), format!("{expected}three"), "and changes nothing");
        folder.delete("1-1-3-3", day).await.unwrap();
        folder.delete("1-1-3-3", day).await.unwrap();
        assert!(read(&folder, &sealed).await.is_err());
    }
}
