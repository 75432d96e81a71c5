//! Blob store in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{BlobState, BlobStore};
use pilothouse_core::{Error, Result};
use sha2::{Digest, Sha256};

/// Blob store that forgets everything with the process. All that it holds counts as older than any time. Every call waits, as
/// one of a disk or a bucket does, so that a strict store notices one within a transaction.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Sha256Digest, Blob>>);

#[derive(Debug)]
struct Blob {
    size: i64,
    bytes: Vec<u8>,
}

impl Blob {
    fn state(&self) -> BlobState {
        let offset = i64::try_from(self.bytes.len()).unwrap();
        BlobState { size: self.size, offset, is_complete: offset == self.size }
    }
}

/// The digest of some bytes.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

impl MemoryBlobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Sha256Digest, Blob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a complete blob; its digest.
    pub fn put(&self, bytes: &[u8]) -> Sha256Digest {
        let blob = Blob { size: i64::try_from(bytes.len()).unwrap(), bytes: bytes.to_vec() };
        self.lock().insert(sha256(bytes), blob);
        sha256(bytes)
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn find(&self, sha256: Sha256Digest) -> Result<Option<BlobState>> {
        tokio::task::yield_now().await;
        Ok(self.lock().get(&sha256).map(Blob::state))
    }

    async fn append(&self, digest: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState> {
        tokio::task::yield_now().await;
        let mut blobs = self.lock();
        if blobs.get(&digest).map_or(0, |blob| blob.state().offset) != offset {
            return Err(Error::conflict("the blob has grown meanwhile"));
        }
        let blob = blobs.entry(digest).or_insert_with(|| Blob { size, bytes: Vec::new() });
        blob.bytes.extend_from_slice(bytes);
        let state = blob.state();
        if state.is_complete && sha256(&blob.bytes) != digest {
            blobs.remove(&digest);
            return Err(Error::invalid("sha256", "is not that of the bytes"));
        }
        Ok(state)
    }

    async fn read(&self, sha256: Sha256Digest, offset: i64, most: usize) -> Result<Vec<u8>> {
        tokio::task::yield_now().await;
        let blobs = self.lock();
        let blob = blobs.get(&sha256).filter(|blob| blob.state().is_complete);
        let bytes = &blob.ok_or_else(|| Error::not_found("the blob"))?.bytes;
        Ok(bytes.iter().skip(usize::try_from(offset).unwrap()).take(most).copied().collect())
    }

    async fn list_older(&self, _before: DateTime<Utc>) -> Result<Vec<Sha256Digest>> {
        tokio::task::yield_now().await;
        Ok(self.lock().keys().copied().collect())
    }

    async fn remove(&self, sha256: Sha256Digest) -> Result<()> {
        tokio::task::yield_now().await;
        self.lock().remove(&sha256);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob_store_conforms;

    #[tokio::test]
    async fn the_suite_of_blob_stores_passes() {
        let blobs = MemoryBlobs::default();
        blob_store_conforms(&blobs, &blobs).await;
    }
}
