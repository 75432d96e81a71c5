//! Objects of the archive: `packs/…` and `days/…` as in the folder, and `store`, which names the owner.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use pilothouse_access_log::archive::{ArchiveError, ArchiveFile, FileRange, WrittenFile};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::ObjectArchiveError;

/// Key of the object that names the owner.
const OWNER: &str = "store";
/// Bytes that go up in one request; a larger file is uploaded in parts of this size.
const PART: usize = 8 << 20;

/// Bytes of a file that are read at once.
const READ: usize = 256 << 10;

/// Bytes of an object.
type Content = BoxStream<'static, io::Result<Bytes>>;

/// Object storage with the archive at its root.
pub(super) struct Objects {
    objects: Arc<dyn ObjectStore>,
    store: String,
    claimed: OnceCell<()>,
}

impl Objects {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, store: String) -> Self {
        Self { objects, store, claimed: OnceCell::new() }
    }

    /// Makes the object storage the store's; once that succeeded, it is not asked again.
    pub(super) async fn claim(&self) -> Result<(), ObjectArchiveError> {
        self.claimed.get_or_try_init(|| self.confirm_owner()).await.copied()
    }

    /// Makes the object storage the store's, or finds that it is.
    pub(super) async fn confirm_owner(&self) -> Result<(), ObjectArchiveError> {
        claim(&*self.objects, &self.store).await
    }

    /// Size of a file in bytes; `None` where there is none.
    pub(super) async fn size(&self, file: &ArchiveFile) -> Result<Option<u64>, ObjectArchiveError> {
        match self.objects.head(&key(file)?).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a range; one that the file does not wholly hold is refused.
    pub(super) async fn open(&self, range: &FileRange) -> Result<Content, ObjectArchiveError> {
        let (begin, end) = (range.offset, range.offset.saturating_add(range.length));
        if begin == end {
            return Ok(stream::empty().boxed());
        }
        let options = GetOptions::new().with_range(Some(begin..end));
        let found = match self.objects.get_opts(&key(&range.file)?, options).await {
            Ok(found) if found.range == (begin..end) => found,
            Ok(_) | Err(Error::NotFound { .. }) => return Err(missing(range).into()),
            Err(error) => return Err(error.into()),
        };
        Ok(found.into_stream().map_err(io::Error::from).boxed())
    }

    /// Reader of a range for a thread that may block.
    pub(super) fn reader(
        &self,
        range: &FileRange,
        runtime: &Handle,
    ) -> Result<impl io::Read + use<>, ArchiveError> {
        let content = runtime.block_on(self.open(range)).map_err(|error| match error {
            ObjectArchiveError::Folder(error) => error,
            error => {
                let path = PathBuf::from(range.file.relative_path().unwrap_or_default());
                ArchiveError::Io { action: "read from the object storage", path, source: error.into() }
            }
        })?;
        Ok(SyncIoBridge::new_with_handle(StreamReader::new(content), runtime.clone()))
    }

    /// Writes a file, durable on return, in the place of one that is there; how many bytes.
    pub(super) async fn put(&self, file: &ArchiveFile, content: File) -> Result<u64, ObjectArchiveError> {
        let mut content = BufReader::with_capacity(READ, tokio::fs::File::from_std(content));
        let object = BufWriter::with_capacity(self.objects.clone(), key(file)?, PART);
        let mut object = object.with_max_concurrency(1);
        match tokio::io::copy_buf(&mut content, &mut object).await {
            Ok(copied) => {
                object.shutdown().await?;
                Ok(copied)
            }
            Err(error) => {
                // Parts that went up would be kept, and charged for. Object storage that is out of reach keeps them.
                let _ = object.abort().await;
                Err(error.into())
            }
        }
    }

    /// Lists the files with the times at which they went up.
    pub(super) async fn files(&self) -> Result<Vec<WrittenFile>, ObjectArchiveError> {
        let mut files = Vec::new();
        for folder in ["packs", "days"] {
            let mut listed = self.objects.list(Some(&Path::from(folder)));
            while let Some(object) = listed.try_next().await? {
                let file = ArchiveFile::from_relative_path(object.location.as_ref());
                files.extend(file.map(|file| WrittenFile { file, written: object.last_modified.into() }));
            }
        }
        Ok(files)
    }

    /// Deletes a file. It is no error if it is gone already.
    pub(super) async fn delete(&self, file: &ArchiveFile) -> Result<(), ObjectArchiveError> {
        match self.objects.delete(&key(file)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes an object storage a store's, or finds that it is; refuses one that is another's.
pub(super) async fn claim(objects: &dyn ObjectStore, store: &str) -> Result<(), ObjectArchiveError> {
    if owner(objects).await?.is_none() {
        let name = PutPayload::from(format!("{store}\n"));
        match objects.put_opts(&Path::from(OWNER), name, PutMode::Create.into()).await {
            // Another process was faster; whether for the same store is found out below.
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match owner(objects).await? {
        Some(owner) if owner != store => {
            Err(ObjectArchiveError::OtherOwner { owner, store: store.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The store that claimed an object storage.
pub(super) async fn owner(objects: &dyn ObjectStore) -> Result<Option<String>, Error> {
    match objects.get(&Path::from(OWNER)).await {
        Ok(found) => {
            let owner = found.bytes().await?;
            Ok(Some(String::from_utf8_lossy(&owner).trim_end().to_owned()))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Error of a range that is not there, or not all of it.
pub(super) fn missing(range: &FileRange) -> ArchiveError {
    let &FileRange { ref file, offset, length, .. } = range;
    ArchiveError::Missing { file: file.clone(), offset, length }
}

fn key(file: &ArchiveFile) -> Result<Path, ArchiveError> {
    file.relative_path().map(Path::from)
}
