//! Bucket blob store: contents of tasks as objects, resumable and durable, which servers on one store share.
//!
//! A blob is its pieces, `blobs/<sha256>/<size>/<offset>`. They are written once and never change. The last one has the
//! ending `.end`, and is written only when the bytes of all of them have the hash: with it the blob is complete.

mod content;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use content::{BLOBS, Content, key, prefix};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{BlobState, BlobStore, Ids, RandomIds};
use pilothouse_core::{Error, Pilothouse, Result};
use pilothouse_log_intake::{ObjectArchive, ObjectArchiveError};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use crate::running_hash::RunningHashes;

/// Key of the object with the id of the bucket's blobs.
const ID: &str = "folder-id";
/// Time limit of a listing, and of a removal: a transaction waits for both.
const LIMIT: Duration = Duration::from_secs(5);
/// Time for which it is remembered where the bytes of a complete blob are.
const REMEMBERED: Duration = Duration::from_mins(1);
/// The most complete blobs of which that is remembered.
const MOST_REMEMBERED: usize = 100;

/// Blobs in a bucket, below its prefix.
#[derive(Clone)]
pub(crate) struct BucketBlobs(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    /// Domain over the store whose tasks name the blobs.
    pilothouse: Pilothouse,
    /// Whether other servers may be on the store, which says then which bucket all of them use.
    is_shared: bool,
    /// Reason why the bucket is not used, once that is known.
    refusal: OnceCell<Option<&'static str>>,
    running: Mutex<RunningHashes>,
    complete: Mutex<BTreeMap<Sha256Digest, Remembered>>,
}

/// Pieces of a complete blob, as they were listed at a time.
#[derive(Clone)]
struct Remembered {
    listed: Instant,
    content: Arc<Content>,
}

impl fmt::Debug for BucketBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketBlobs").finish_non_exhaustive()
    }
}

impl BucketBlobs {
    /// Uses object storage, at the root of which the blobs of a domain's store are. It is not used where it is another store's,
    /// and with `is_shared` where the other servers on the store use another one; that is found out when it is first needed.
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, pilothouse: Pilothouse, is_shared: bool) -> Self {
        let (running, complete, refusal) = (Mutex::default(), Mutex::default(), OnceCell::new());
        Self(Arc::new(Inner { objects, pilothouse, is_shared, refusal, running, complete }))
    }

    /// Reason why the bucket is not used, if there is one.
    pub(crate) async fn refusal(&self) -> Result<Option<&'static str>> {
        self.0.refusal.get_or_try_init(|| self.find_refusal()).await.copied()
    }

    async fn find_refusal(&self) -> Result<Option<&'static str>> {
        let store = self.0.pilothouse.store_identity().await?.id;
        match ObjectArchive::claim_objects(&*self.0.objects, &store).await {
            Ok(()) => {}
            Err(ObjectArchiveError::OtherOwner { .. }) => {
                return Ok(Some("blob_dir of this server is a bucket with the blobs of another store"));
            }
            Err(error) => return Err(failed(&error)),
        }
        if !self.0.is_shared {
            return Ok(None);
        }
        let id = self.id().await.map_err(|error| failed(&error))?;
        let is_that_of_all = self.0.pilothouse.confirm_blob_folder(&id).await?;
        let why = "blob_dir of this server is not the bucket that the other servers on its store use";
        Ok((!is_that_of_all).then_some(why))
    }

    /// Random id of the bucket's blobs, which stands in it: whoever sees the same one sees the same blobs.
    async fn id(&self) -> object_store::Result<String> {
        let id = Path::from(ID);
        match self.0.objects.get(&id).await {
            Err(object_store::Error::NotFound { .. }) => {}
            found => return read_id(found?).await,
        }
        let new = PutPayload::from(RandomIds.uuid().simple().to_string());
        match self.0.objects.put_opts(&id, new, PutMode::Create.into()).await {
            // Another server was faster.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        read_id(self.0.objects.get(&id).await?).await
    }

    async fn require_confirmed(&self) -> Result<()> {
        let refusal = timeout(LIMIT, self.refusal()).await.map_err(|_| silent())??;
        refusal.map_or(Ok(()), |why| Err(Error::Unavailable(why.to_owned())))
    }

    /// Stored pieces of a blob.
    async fn list(&self, sha256: Sha256Digest) -> Result<Option<Content>> {
        let listed = self.0.objects.list(Some(&prefix(sha256))).try_collect::<Vec<_>>();
        let listed = timeout(LIMIT, listed).await.map_err(|_| silent())?;
        Ok(Content::of(&listed.map_err(|error| failed(&error))?))
    }

    /// The pieces of a complete blob, remembered for a while.
    async fn complete(&self, sha256: Sha256Digest) -> Result<Arc<Content>> {
        let known = lock(&self.0.complete).get(&sha256).cloned();
        if let Some(known) = known.filter(|known| known.listed.elapsed() < REMEMBERED) {
            return Ok(known.content);
        }
        let listed = Instant::now();
        let found = self.list(sha256).await?.filter(|content| content.is_complete);
        let content = Arc::new(found.ok_or_else(|| Error::not_found("the blob"))?);
        let mut complete = lock(&self.0.complete);
        complete.retain(|_, known| known.listed.elapsed() < REMEMBERED);
        if complete.len() < MOST_REMEMBERED {
            complete.insert(sha256, Remembered { listed, content: content.clone() });
        }
        Ok(content)
    }

    /// Hash of the bytes that are there.
    async fn hash(&self, content: Option<&Content>) -> Result<Sha256> {
        let mut hash = Sha256::new();
        for piece in content.iter().flat_map(|content| &content.pieces) {
            let found = self.0.objects.get(&piece.key).await.map_err(|error| failed(&error))?;
            let mut bytes = found.into_stream();
            while let Some(bytes) = bytes.try_next().await.map_err(|error| failed(&error))? {
                hash.update(&bytes);
            }
        }
        Ok(hash)
    }

    /// Writes a piece; whether there was none at its offset.
    async fn put(&self, key: &Path, bytes: Vec<u8>) -> Result<bool> {
        match self.0.objects.put_opts(key, PutPayload::from(bytes), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Deletes every object of a blob: first the end, so that no blob counts as complete that is not, and then backwards, so
    /// that what a crash leaves has no hole.
    async fn delete(&self, sha256: Sha256Digest) -> Result<()> {
        lock(&self.0.complete).remove(&sha256);
        let listed: Vec<_> =
            self.0.objects.list(Some(&prefix(sha256))).try_collect().await.map_err(|error| failed(&error))?;
        let mut keys: Vec<_> = listed.into_iter().map(|object| object.location).collect();
        keys.sort_by_key(|key| std::cmp::Reverse((key.as_ref().ends_with(content::END), key.clone())));
        for key in keys {
            match self.0.objects.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    /// Reads from one piece what of it lies behind an offset; `None` where the piece is not there.
    async fn read_piece(&self, content: &Content, offset: i64, most: usize) -> Result<Option<Vec<u8>>> {
        let Some(piece) = content.piece_at(offset) else { return Ok(Some(Vec::new())) };
        let begin = (offset - piece.offset).unsigned_abs();
        let end = piece.length.unsigned_abs().min(begin.saturating_add(most as u64));
        if begin == end {
            return Ok(Some(Vec::new()));
        }
        match self.0.objects.get_range(&piece.key, begin..end).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[async_trait]
impl BlobStore for BucketBlobs {
    async fn find(&self, sha256: Sha256Digest) -> Result<Option<BlobState>> {
        self.require_confirmed().await?;
        Ok(self.list(sha256).await?.map(|content| content.state()))
    }

    async fn append(&self, sha256: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState> {
        self.require_confirmed().await?;
        let grown = || Error::conflict("the blob has grown meanwhile");
        let found = self.list(sha256).await?;
        let is_at_end = match &found {
            Some(found) => (found.size, found.end(), found.is_complete) == (size, offset, false),
            None => offset == 0,
        };
        let end = offset.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        if !is_at_end || end > size {
            return Err(grown());
        }
        let running = lock(&self.0.running).take(sha256, offset);
        if end < size {
            if !bytes.is_empty() && !self.put(&key(sha256, size, offset, false), bytes.to_vec()).await? {
                return Err(grown());
            }
            if let Some(hash) = running {
                lock(&self.0.running).keep(sha256, end, hash.chain_update(bytes));
            }
            return Ok(BlobState { size, offset: end, is_complete: false });
        }
        let hash = match running {
            Some(hash) => hash,
            // Others have appended, or this process has begun since.
            None => self.hash(found.as_ref()).await?,
        };
        if Sha256Digest(hash.chain_update(bytes).finalize().into()) != sha256 {
            self.delete(sha256).await?;
            return Err(Error::invalid("sha256", "is not that of the bytes; the blob was dropped"));
        }
        if !self.put(&key(sha256, size, offset, true), bytes.to_vec()).await?
            && !self.list(sha256).await?.is_some_and(|found| found.is_complete)
        {
            return Err(grown());
        }
        Ok(BlobState { size, offset: size, is_complete: true })
    }

    async fn read(&self, sha256: Sha256Digest, offset: i64, most: usize) -> Result<Vec<u8>> {
        self.require_confirmed().await?;
        let content = self.complete(sha256).await?;
        if let Some(bytes) = self.read_piece(&content, offset, most).await? {
            return Ok(bytes);
        }
        // What is remembered may have been removed, and uploaded again in other pieces.
        lock(&self.0.complete).remove(&sha256);
        let content = self.complete(sha256).await?;
        let bytes = self.read_piece(&content, offset, most).await?;
        bytes.ok_or_else(|| Error::not_found("the blob"))
    }

    async fn list_older(&self, before: DateTime<Utc>) -> Result<Vec<Sha256Digest>> {
        if self.refusal().await?.is_some() {
            return Ok(Vec::new());
        }
        let mut newest = BTreeMap::<Sha256Digest, DateTime<Utc>>::new();
        let mut listed = self.0.objects.list(Some(&Path::from(BLOBS)));
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| failed(&error))?;
            if let Some(sha256) = content::sha256_of(&object.location) {
                let written = newest.entry(sha256).or_insert(object.last_modified);
                *written = object.last_modified.max(*written);
            }
        }
        Ok(newest.into_iter().filter(|(_, written)| *written < before).map(|(sha256, _)| sha256).collect())
    }

    async fn remove(&self, sha256: Sha256Digest) -> Result<()> {
        self.require_confirmed().await?;
        timeout(LIMIT, self.delete(sha256)).await.map_err(|_| silent())?
    }
}

async fn read_id(found: object_store::GetResult) -> object_store::Result<String> {
    Ok(String::from_utf8_lossy(&found.bytes().await?).trim().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Error for clients; the log has the cause, which names the bucket.
fn failed(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::warn!(error, "the bucket of blobs failed");
    Error::Unavailable("the bucket of blobs cannot be used at the moment".to_owned())
}

fn silent() -> Error {
    tracing::warn!(limit = ?LIMIT, "the bucket of blobs does not answer");
    Error::Unavailable("the bucket of blobs does not answer".to_owned())
}
