//! Log archive in object storage: packs are written to a folder first, and go up from there.

mod error;
mod objects;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use pilothouse_access_log::archive::{ArchiveError, ArchiveFile, FileRange};
use pilothouse_core::cdn::{LogChunk, LogFile};
use pilothouse_core::ports::{LogArchive, SealedLog};
use tokio::runtime::Handle;

pub use error::ObjectArchiveError;
use objects::Objects;

use crate::FolderArchive;
use crate::convert::file_range;
use crate::superfluous::superfluous;

/// Requests that are made at the same time where many objects are concerned.
const AT_ONCE: usize = 4;

/// Archive in object storage that servers without a common folder share; handed to
/// [`pilothouse_core::Pilothouse::with_log_archive`].
///
/// Packs are durable in the folder of the server that read the lines before anything counts, so that intake never waits for the
/// object storage; [`ObjectArchive::work`] moves what is in the folder up, within seconds while all is well. A file that is
/// not in this server's folder is looked for in the object storage.
#[derive(Clone)]
pub struct ObjectArchive {
    folder: FolderArchive,
    objects: Arc<Objects>,
}

impl fmt::Debug for ObjectArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectArchive").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ObjectArchive {
    /// Uses object storage whose root is the archive's alone, and which knows conditional writes
    /// ([`object_store::PutMode::Create`]). `folder` is the one that packs are written to, and `store` the id of the store whose
    /// lines they are.
    pub fn new(folder: FolderArchive, objects: Arc<dyn ObjectStore>, store: impl Into<String>) -> Self {
        Self { folder, objects: Arc::new(Objects::new(objects, store.into())) }
    }

    /// Makes the object storage the store's; refuses one that is another store's already. It is done before the first write
    /// anyway.
    pub async fn claim(&self) -> Result<(), ObjectArchiveError> {
        self.objects.claim().await
    }

    /// Makes an object storage a store's, by its id, as an archive does with its own; also for other files of a store.
    pub async fn claim_objects(objects: &dyn ObjectStore, store: &str) -> Result<(), ObjectArchiveError> {
        objects::claim(objects, store).await
    }

    /// The id of the store that claimed an object storage, if one did.
    pub async fn owner(objects: &dyn ObjectStore) -> Result<Option<String>, ObjectArchiveError> {
        Ok(objects::owner(objects).await?)
    }

    /// Refuses ranges that are neither in the folder nor in the object storage, each as a whole.
    async fn check(&self, ranges: &[FileRange]) -> io::Result<()> {
        let all = ranges.to_vec();
        let elsewhere = self.in_folder(move |archive| {
            let mut elsewhere = Vec::new();
            for range in all {
                match archive.read(&range) {
                    Ok(_) => {}
                    Err(ArchiveError::Missing { .. }) => elsewhere.push(range),
                    Err(error) => return Err(error),
                }
            }
            Ok(elsewhere)
        });
        let elsewhere = elsewhere.await?;
        let files: HashSet<_> = elsewhere.iter().map(|range| range.file.clone()).collect();
        let sizes = stream::iter(files).map(async |file| {
            let size = self.objects.size(&file).await?;
            Ok::<_, ObjectArchiveError>((file, size))
        });
        let sizes: HashMap<_, _> = sizes.buffer_unordered(AT_ONCE).try_collect().await?;
        for range in elsewhere {
            let size = sizes.get(&range.file).copied().flatten();
            let end = range.offset.checked_add(range.length);
            if size.is_none_or(|size| end.is_none_or(|end| end > size)) {
                return Err(io::Error::other(objects::missing(&range)));
            }
        }
        Ok(())
    }

    /// The bytes of a range, from the folder or, where it has gone up, the object storage.
    async fn open(&self, range: FileRange) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>> {
        if let Some(content) = self.folder.open_range(range.clone()).await? {
            return Ok(content);
        }
        let content = self.objects.open(&range).await?;
        Ok(content.map_ok(Vec::from).boxed())
    }
}

#[async_trait]
impl LogArchive for ObjectArchive {
    #[tracing::instrument(name = "seal_log", skip_all, fields(name, %day, chunks = chunks.len()))]
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog> {
        self.objects.claim().await?;
        let file = ArchiveFile::Sealed(name.to_owned(), day);
        let ranges: Vec<_> = chunks.iter().map(file_range).collect();
        let (objects, name, runtime) = (self.objects.clone(), name.to_owned(), Handle::current());
        let sealed = self.in_folder(move |archive| {
            archive.seal_from(&name, day, &ranges, |range| -> Result<Box<dyn io::Read>, ArchiveError> {
                match archive.read(range) {
                    Ok(reader) => Ok(Box::new(reader)),
                    Err(ArchiveError::Missing { .. }) => Ok(Box::new(objects.reader(range, &runtime)?)),
                    Err(error) => Err(error),
                }
            })
        });
        let sealed = sealed.await?;
        // Servers that do not have this folder read the rows that are about to point at it.
        if !self.move_up(&file).await? && self.objects.size(&file).await?.is_none() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let length = i64::try_from(sealed.size).map_err(io::Error::other)?;
        Ok(SealedLog { length, sha256: sealed.sha256 })
    }

    async fn read(&self, chunks: Vec<LogChunk>) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>> {
        let ranges: Vec<_> = chunks.iter().map(file_range).collect();
        self.check(&ranges).await?;
        let archive = self.clone();
        let opened = stream::iter(ranges).then(move |range| {
            let archive = archive.clone();
            async move { archive.open(range).await }
        });
        Ok(opened.try_flatten().boxed())
    }

    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()> {
        self.objects.claim().await?;
        LogArchive::delete(&self.folder, name, day).await?;
        Ok(self.objects.delete(&ArchiveFile::Sealed(name.to_owned(), day)).await?)
    }

    #[tracing::instrument(name = "prune_logs", skip_all, fields(keep = keep.len(), %before))]
    async fn prune(
        &self,
        keep: HashSet<LogFile>,
        before: DateTime<Utc>,
        restored: Option<DateTime<Utc>>,
    ) -> io::Result<u64> {
        self.objects.claim().await?;
        let (before, restored) = (SystemTime::from(before), restored.map(SystemTime::from));
        let in_folder = self.in_folder(move |archive| {
            archive.delete_unfinished(before)?;
            archive.files()
        });
        let mut files = in_folder.await?;
        files.extend(self.objects.files().await?);
        let files: HashSet<_> = superfluous(files, &keep, before, restored).into_iter().collect();
        let count = files.len() as u64;
        stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, async |file| {
                self.objects.delete(&file).await?;
                self.in_folder(move |archive| archive.delete(&file)).await
            })
            .await?;
        Ok(count)
    }
}
