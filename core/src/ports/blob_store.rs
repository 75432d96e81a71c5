//! Blob store port: contents of tasks by their SHA-256.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;
use crate::ops::Sha256Digest;

/// State of a blob in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobState {
    /// Size of the whole blob in bytes.
    pub size: i64,
    /// Bytes that are durable; the offset at which the next piece begins.
    pub offset: i64,
    /// Whether it is whole and its hash was checked.
    pub is_complete: bool,
}

/// Contents by their SHA-256. Servers on one store share it.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync + 'static {
    /// State of a blob; `None` where nobody began it.
    async fn find(&self, sha256: Sha256Digest) -> Result<Option<BlobState>>;

    /// Appends a piece at `offset`, the end of what is there, durable on return. At `size` the hash is checked: a wrong one
    /// drops the blob and is an invalid `sha256`. A conflict where the offset is no longer the end.
    async fn append(&self, sha256: Sha256Digest, size: i64, offset: i64, bytes: &[u8]) -> Result<BlobState>;

    /// Up to `most` bytes of a complete blob from `offset` on; empty at its end.
    async fn read(&self, sha256: Sha256Digest, offset: i64, most: usize) -> Result<Vec<u8>>;

    /// Blobs that were last written before a time, complete or not.
    async fn list_older(&self, before: DateTime<Utc>) -> Result<Vec<Sha256Digest>>;

    /// Removes a blob, complete or begun; one that is gone is fine.
    async fn remove(&self, sha256: Sha256Digest) -> Result<()>;
}
