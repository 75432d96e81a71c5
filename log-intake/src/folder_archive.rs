//! Log archive in a folder: packs of kept lines, and the sealed files of their days.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use pilothouse_access_log::archive::{Archive, ArchiveError, ArchiveFile, FileRange, Pack};
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::{LogArchive, SealedLog};

use crate::convert::file_range;
use crate::superfluous::superfluous;

/// Bytes of a download that are read at once.
const CHUNK: usize = 64 << 10;

/// Archive in a folder, which several servers may share; handed to [`pilothouse_core::Pilothouse::with_log_archive`].
#[derive(Clone, Debug)]
pub struct FolderArchive(Archive);

impl FolderArchive {
    /// Uses a folder, which is created if it does not exist.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        Archive::open(folder).map(Self)
    }

    /// Makes the folder a store's, by its id; refuses one that is another store's already.
    pub fn claim(&self, store: &str) -> Result<(), ArchiveError> {
        self.0.claim(store)
    }

    /// The id of the store that claimed a folder, if one did.
    pub fn owner(folder: &Path) -> Result<Option<String>, ArchiveError> {
        Archive::owner(folder)
    }

    /// Writes a pack, durable on return.
    pub(crate) fn write(&self, pack: &Pack) -> Result<(), ArchiveError> {
        self.0.write(pack)
    }

    /// The folder of the archive.
    pub(crate) fn archive(&self) -> &Archive {
        &self.0
    }

    /// The bytes of a range; `None` where the folder does not have all of them.
    pub(crate) async fn open_range(
        &self,
        range: FileRange,
    ) -> io::Result<Option<BoxStream<'static, io::Result<Vec<u8>>>>> {
        let archive = self.0.clone();
        let opened = blocking(move || match archive.read(&range) {
            Ok(reader) => Ok(Some(Download { archive, left: VecDeque::new(), open: Some(reader) })),
            Err(ArchiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        });
        Ok(opened.await?.map(Download::stream))
    }
}

/// Download of chunks, one after the other.
struct Download {
    archive: Archive,
    left: VecDeque<LogChunk>,
    open: Option<io::Take<File>>,
}

impl Download {
    /// Reads the next bytes; none when all chunks were read.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let Some(reader) = &mut self.open else {
                let Some(chunk) = self.left.pop_front() else { return Ok(Vec::new()) };
                self.open = Some(self.archive.read(&file_range(&chunk)).map_err(io::Error::other)?);
                continue;
            };
            let mut read = Vec::with_capacity(CHUNK);
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut read)?;
            if !read.is_empty() {
                return Ok(read);
            }
            self.open = None;
        }
    }

    fn stream(self) -> BoxStream<'static, io::Result<Vec<u8>>> {
        let content = stream::try_unfold(self, |mut download| async {
            let next = tokio::task::spawn_blocking(move || (download.next(), download)).await;
            let (read, download) = next.map_err(io::Error::other)?;
            let read = read?;
            Ok((!read.is_empty()).then_some((read, download)))
        });
        content.boxed()
    }
}

#[async_trait]
impl LogArchive for FolderArchive {
    #[tracing::instrument(name = "seal_log", skip_all, fields(name, %day, chunks = chunks.len()))]
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog> {
        let (archive, name) = (self.0.clone(), name.to_owned());
        let ranges: Vec<_> = chunks.iter().map(file_range).collect();
        let sealed = blocking(move || archive.seal(&name, day, &ranges)).await?;
        let length = i64::try_from(sealed.size).map_err(io::Error::other)?;
        Ok(SealedLog { length, sha256: sealed.sha256 })
    }

    async fn read(&self, chunks: Vec<LogChunk>) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>> {
        let archive = self.0.clone();
        let chunks = blocking(move || {
            chunks.iter().try_for_each(|chunk| archive.read(&file_range(chunk)).map(drop))?;
            Ok(chunks)
        });
        Ok(Download { archive: self.0.clone(), left: chunks.await?.into(), open: None }.stream())
    }

    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()> {
        let (archive, file) = (self.0.clone(), ArchiveFile::Sealed(name.to_owned(), day));
        blocking(move || archive.delete(&file)).await
    }

    #[tracing::instrument(name = "prune_logs", skip_all, fields(keep = keep.len(), %before))]
    async fn prune(
        &self,
        keep: HashSet<LogFile>,
        before: DateTime<Utc>,
        restored: Option<DateTime<Utc>>,
    ) -> io::Result<u64> {
        let archive = self.0.clone();
        blocking(move || {
            archive.delete_unfinished(before.into())?;
            let files = superfluous(archive.files()?, &keep, before.into(), restored.map(Into::into));
            files.iter().try_for_each(|file| archive.delete(file))?;
            Ok(files.len() as u64)
        })
        .await
    }
}

/// Does work that waits for the disk on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::archive_test::{chunk, gzip, pack, read};
    use crate::convert::log_file;

    use super::*;

    #[tokio::test]
    async fn sealed_chunks_read_as_they_did_in_their_packs() {
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(directory.path()).unwrap();
        let parts = [gzip("one"), gzip(&"two".repeat(3 * CHUNK)), gzip("three")];
        let lengths = parts.each_ref().map(|part| i64::try_from(part.len()).unwrap());
        for (name, data) in [("a", parts[..2].concat()), ("b", parts[2].clone())] {
            archive.write(&pack(name, data)).unwrap();
        }
        let file = |name: &str| LogFile::Pack(name.to_owned());
        let chunks = [
            chunk(file("a"), lengths[0], lengths[1]),
            chunk(file("b"), 0, lengths[2]),
            chunk(file("a"), 0, lengths[0]),
        ];
        let expected = format!("{}threeone", "two".repeat(3 * CHUNK));
        assert_eq!(read(&archive, &chunks).await.unwrap(), expected);

        let day = chunks[0].day;
        let sealed = archive.seal("1-1-3-3", day, &chunks).await.unwrap();
        let name = LogFile::Sealed("1-1-3-3".to_owned());
        let sealed = [chunk(name.clone(), 0, sealed.length), chunk(file("b"), 0, lengths[2])];
        assert_eq!(read(&archive, &sealed).await.unwrap(), format!("{expected}three"));

        let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
        let keep = HashSet::from([file("b"), name]);
        assert_eq!(archive.prune(keep.clone(), DateTime::UNIX_EPOCH, None).await.unwrap(), 0);
        assert_eq!(archive.prune(keep, later, None).await.unwrap(), 1);
        assert!(
            archive.read(chunks.to_vec()).await.is_err(),
            "what is missing is an error before the first byte"
        );
        assert!(archive.seal("1-1-3-3", day, &chunks).await.is_err());
        assert_eq!(read(&archive, &sealed).await.unwrap(), format!("{expected}three"), "and changes nothing");
        assert_eq!(
            archive.prune(HashSet::from([file("b")]), later, None).await.unwrap(),
            1,
            "an orphan of a crash"
        );
        archive.delete("1-1-3-3", day).await.unwrap();
        assert!(read(&archive, &sealed).await.is_err());
    }

    fn write_at(archive: &FolderArchive, folder: &Path, name: &str, hour: u64) -> SystemTime {
        archive.write(&pack(name, gzip(name))).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000 + hour * 3600);
        let packs = std::fs::read_dir(folder.join("packs")).unwrap().map(|entry| entry.unwrap().path());
        let path = packs.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(name)).last();
        File::options().write(true).open(path.unwrap()).unwrap().set_modified(at).unwrap();
        at
    }

    /// The rows of the files written after the backup are lost; the files are all that is left of the lines.
    #[tokio::test]
    async fn files_whose_rows_a_restore_lost_are_spared() {
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(directory.path()).unwrap();
        let times: Vec<_> = ["superfluous", "backed-up", "lost", "orphan", "newest"]
            .iter()
            .zip(1..)
            .map(|(name, hour)| write_at(&archive, directory.path(), name, hour))
            .collect();
        let keep = HashSet::from(["backed-up", "newest"].map(|name| LogFile::Pack(name.to_owned())));
        let restored = DateTime::<Utc>::from(times[2] + Duration::from_mins(1));
        let later = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
        assert_eq!(archive.prune(keep.clone(), later, Some(restored)).await.unwrap(), 2);
        let left: HashSet<_> = archive.0.files().unwrap().iter().map(|file| log_file(&file.file)).collect();
        let lost = LogFile::Pack("lost".to_owned());
        assert_eq!(left, &keep | &HashSet::from([lost]));
        assert_eq!(archive.prune(keep.clone(), later, None).await.unwrap(), 1, "log_days later");
    }

    #[test]
    fn a_folder_belongs_to_one_store() {
        let directory = tempfile::tempdir().unwrap();
        let archive = FolderArchive::open(directory.path()).unwrap();
        assert_eq!(FolderArchive::owner(directory.path()).unwrap(), None);
        archive.claim("a1").unwrap();
        archive.claim("a1").unwrap();
        assert_eq!(FolderArchive::owner(directory.path()).unwrap().as_deref(), Some("a1"));
        let refused = archive.claim("b2").unwrap_err().to_string();
        assert!(refused.ends_with("belongs to the store a1, and this is the store b2"), "{refused}");
    }
}
