//! Folder blob store: contents of tasks as files under their SHA-256, resumable and durable.
//!
//! A complete blob is `<sha256>`, a begun one `<sha256>.<size>.part`. A piece is durable before its end is told; the name of
//! a complete blob appears only after its bytes were hashed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{BlobState, BlobStore, Ids, RandomIds};
use pilothouse_core::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::running_hash::RunningHashes;

/// File with the id of the folder.
const ID: &str = "folder-id";
/// Pieces that are read at the same time. Each takes a thread, and the allocator keeps some memory for every thread.
const READERS: usize = 4;
/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 16;

/// Blobs in a folder, which servers on one store share.
#[derive(Clone, Debug)]
pub(crate) struct FolderBlobs {
    folder: Arc<PathBuf>,
    /// Reason why the folder is not used.
    refusal: Option<Arc<str>>,
    /// Serialises appending within the process; the lock of the part file does so between processes. With the hashes of begun
    /// blobs, so that a long one is not read again at its end.
    appending: Arc<Mutex<RunningHashes>>,
    /// Turns of those who read pieces.
    reading: Arc<Semaphore>,
}

impl FolderBlobs {
    /// Over a folder, which is created where it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        File::open(folder)?.sync_all()?;
        let reading = Arc::new(Semaphore::new(READERS));
        Ok(Self { folder: Arc::new(folder.to_owned()), refusal: None, appending: Arc::default(), reading })
    }

    /// Random id of the folder, which stands in it: whoever sees the same one sees the same folder.
    pub(crate) fn id(&self) -> io::Result<String> {
        let path = self.folder.join(ID);
        if let Some(id) = read_id(&path)? {
            return Ok(id);
        }
        let mut file = tempfile::NamedTempFile::new_in(&*self.folder)?;
        file.write_all(RandomIds.uuid().simple().to_string().as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            // Another server was faster.
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.error),
            _ => File::open(&*self.folder)?.sync_all()?,
        }
        read_id(&path)?.ok_or_else(|| io::Error::other(format!("{ID} does not hold an id")))
    }

    /// The same, of which nothing is used, for this reason.
    pub(crate) fn refused(self, why: &str) -> Self {
        Self { refusal: Some(why.into()), ..self }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(why) = &self.refusal {
            return Err(Error::Unavailable(why.to_string()));
        }
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.map_err(|error| Error::Internal(format!("a blob: {error}")))?
    }

    fn complete(&self, sha256: Sha256Digest) -> PathBuf {
        self.folder.join(sha256.to_string())
    }

    fn part(&self, sha256: Sha256Digest, size: i64) -> PathBuf {
        self.folder.join(format!("{sha256}.{size}.part"))
    }

    fn sync(&self) -> Result<()> {
        File::open(&*self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn state(&self, sha256: Sha256Digest) -> Result<Option<BlobState>> {
        if let Some(size) = length(&self.complete(sha256))? {
            return Ok(Some(BlobState { size, offset: size, is_complete: true }));
        }
        for entry in self.entries()? {
            if entry.sha256 == sha256
                && let (Some(size), Some(offset)) = (entry.part_size, length(&entry.path)?)
            {
                if offset == size {
                    return self.complete_part(sha256, &entry.path);
                }
                return Ok(Some(BlobState { size, offset, is_complete: false }));
            }
        }
        Ok(None)
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&*self.folder).map_err(failed)? {
            entries.extend(Entry::of(&entry.map_err(failed)?.path()));
        }
        Ok(entries)
    }

    /// Completes a blob of which a crash left all bytes, but not their name; one with other bytes is dropped.
    fn complete_part(&self, sha256: Sha256Digest, path: &Path) -> Result<Option<BlobState>> {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut part) = File::open(path) else {
            // Another process was faster.
            let size = length(&self.complete(sha256))?;
            return Ok(size.map(|size| BlobState { size, offset: size, is_complete: true }));
        };
        flock(&part, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let is_right = hash(&mut part).map_err(failed)? == sha256;
        if is_right {
            part.sync_all().map_err(failed)?;
            // Fails where another process has completed it.
            let _ = fs::rename(path, self.complete(sha256));
        } else {
            remove(path)?;
        }
        self.sync()?;
        let size = length(&self.complete(sha256))?;
        Ok(size.map(|size| BlobState { size, offset: size, is_complete: true }))
    }

    fn append_piece(&self, sha256: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState> {
        let mut running = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = || Error::conflict("the blob has grown meanwhile");
        let path = self.part(sha256, size);
        if self.complete(sha256).exists() {
            return Err(grown());
        }
        let mut options = OpenOptions::new();
        let options = options.create(offset == 0).truncate(false).read(true).write(true).mode(0o600);
        let mut part = options.open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => grown(),
            _ => failed(error),
        })?;
        flock(&part, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let held = part.metadata().map_err(failed)?.len();
        if i64::try_from(held).ok() != Some(offset) || !path.exists() {
            return Err(grown());
        }
        if let Err(error) = append_durably(&mut part, held, bytes) {
            // What is not durable must not count as taken.
            let _ = part.set_len(held);
            return Err(failed(error));
        }
        self.sync()?;
        let hashed = running.take(sha256, offset).map(|hash| hash.chain_update(bytes));
        let offset = offset + i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if offset < size {
            if let Some(hash) = hashed {
                running.keep(sha256, offset, hash);
            }
            return Ok(BlobState { size, offset, is_complete: false });
        }
        let found = match hashed {
            Some(hash) => Sha256Digest(hash.finalize().into()),
            // Others have appended, or this process has begun since.
            None => hash(&mut part).map_err(failed)?,
        };
        if found != sha256 {
            fs::remove_file(&path).map_err(failed)?;
            self.sync()?;
            return Err(Error::invalid("sha256", "is not that of the bytes; the blob was dropped"));
        }
        fs::rename(&path, self.complete(sha256)).map_err(failed)?;
        self.sync()?;
        Ok(BlobState { size, offset, is_complete: true })
    }
}

/// File of the folder that is a blob, complete or begun.
struct Entry {
    path: PathBuf,
    sha256: Sha256Digest,
    /// Size of the whole, of a begun one.
    part_size: Option<i64>,
}

impl Entry {
    /// `None` for a file that is no blob, which is left alone.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (digest, part_size) = match name.strip_suffix(".part") {
            Some(begun) => {
                let (digest, size) = begun.split_once('.')?;
                (digest, Some(size.parse().ok()?))
            }
            None => (name, None),
        };
        Some(Self { path: path.to_owned(), sha256: digest.parse().ok()?, part_size })
    }
}

/// The id in a file; `None` where there is no file.
fn read_id(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(id) => Ok(Some(id.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn append_durably(part: &mut File, end: u64, bytes: &[u8]) -> io::Result<()> {
    part.seek(SeekFrom::Start(end))?;
    part.write_all(bytes)?;
    part.sync_all()
}

fn hash(file: &mut File) -> io::Result<Sha256Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Sha256Digest(hash.finalize().into())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn length(path: &Path) -> Result<Option<i64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(i64::try_from(metadata.len()).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// A full disk is for the operator to end, and anything else is our own fault.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn failed(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::Unavailable("the folder of blobs has no room".to_owned())
        }
        _ => Error::Internal(format!("the folder of blobs: {error}")),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

#[async_trait]
impl BlobStore for FolderBlobs {
    async fn find(&self, sha256: Sha256Digest) -> Result<Option<BlobState>> {
        self.blocking(move |this| this.state(sha256)).await
    }

    async fn append(&self, sha256: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState> {
        let bytes = bytes.to_vec();
        self.blocking(move |this| this.append_piece(sha256, size, offset, &bytes)).await
    }

    async fn read(&self, sha256: Sha256Digest, offset: i64, most: usize) -> Result<Vec<u8>> {
        let _turn =
            self.reading.acquire().await.map_err(|error| Error::Internal(format!("a blob: {error}")))?;
        self.blocking(move |this| {
            let mut file = File::open(this.complete(sha256)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::not_found("the blob"),
                _ => failed(error),
            })?;
            file.seek(SeekFrom::Start(offset.unsigned_abs())).map_err(failed)?;
            let mut bytes = Vec::with_capacity(most);
            file.take(most as u64).read_to_end(&mut bytes).map_err(failed)?;
            Ok(bytes)
        })
        .await
    }

    async fn list_older(&self, before: DateTime<Utc>) -> Result<Vec<Sha256Digest>> {
        if self.refusal.is_some() {
            return Ok(Vec::new());
        }
        self.blocking(move |this| {
            let mut older = Vec::new();
            for entry in this.entries()? {
                let written = fs::metadata(&entry.path).and_then(|metadata| metadata.modified());
                if written.is_ok_and(|written| DateTime::<Utc>::from(written) < before) {
                    older.push(entry.sha256);
                }
            }
            Ok(older)
        })
        .await
    }

    async fn remove(&self, sha256: Sha256Digest) -> Result<()> {
        self.blocking(move |this| {
            let found = this.entries()?.into_iter().filter(|entry| entry.sha256 == sha256);
            found.map(|entry| entry.path).try_for_each(|path| remove(&path))?;
            this.sync()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_conformance::blob_store_conforms;
    use pilothouse_core::ErrorKind as Kind;

    use super::*;

    fn digest(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest(Sha256::digest(bytes).into())
    }

    #[tokio::test]
    async fn the_suite_of_blob_stores_passes() {
        let folder = tempfile::tempdir().unwrap();
        let server = || FolderBlobs::open(folder.path()).unwrap();
        blob_store_conforms(&server(), &server()).await;
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left beside the last blob");
    }

    /// A server is killed after the last byte is durable, and before the blob has its name.
    #[tokio::test]
    async fn what_a_crash_left_without_its_name_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FolderBlobs::open(folder.path()).unwrap();
        let (right, wrong) = (digest(b"right"), digest(b"wrong"));
        for sha256 in [right, wrong] {
            fs::write(blobs.part(sha256, 5), b"right").unwrap();
        }
        let complete = BlobState { size: 5, offset: 5, is_complete: true };
        assert_eq!(blobs.find(right).await.unwrap(), Some(complete));
        assert_eq!(blobs.read(right, 0, 10).await.unwrap(), b"right");
        assert_eq!(blobs.find(wrong).await.unwrap(), None);
        assert!(blobs.append(wrong, 5, 0, b"wrong").await.unwrap().is_complete);
    }

    #[tokio::test]
    async fn a_folder_has_one_id() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = |folder: &Path| FolderBlobs::open(folder).unwrap().id().unwrap();
        let first = id(folder.path());
        assert_eq!((first.len(), id(folder.path())), (32, first.clone()));
        assert_ne!(id(other.path()), first);
        let refused = FolderBlobs::open(folder.path()).unwrap().refused("another folder");
        assert_eq!(refused.find(digest(b"a")).await.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(refused.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap(), []);
    }

    #[tokio::test]
    async fn old_blobs_are_listed_and_removed_and_other_files_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FolderBlobs::open(folder.path()).unwrap();
        fs::write(folder.path().join("README"), "mine").unwrap();
        let (whole, begun) = (digest(b"a"), digest(b"bc"));
        blobs.append(whole, 1, 0, b"a").await.unwrap();
        blobs.append(begun, 2, 0, b"b").await.unwrap();
        assert_eq!(blobs.list_older(DateTime::UNIX_EPOCH).await.unwrap(), []);
        let mut older = blobs.list_older(DateTime::<Utc>::MAX_UTC).await.unwrap();
        older.sort();
        let mut both = vec![whole, begun];
        both.sort();
        assert_eq!(older, both);
        for sha256 in both {
            blobs.remove(sha256).await.unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
