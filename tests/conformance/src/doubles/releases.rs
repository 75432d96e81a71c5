//! Releases in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pilothouse_core::ops::Sha256Digest;
use pilothouse_core::ports::{Release, ReleaseSource};
use pilothouse_core::{Error, Result};

use super::sha256;

/// Released files by their paths.
#[derive(Debug, Default)]
pub struct MemoryReleases(Mutex<BTreeMap<String, File>>);

/// What is read of a file after it was hashed, and what was hashed.
#[derive(Clone, Debug)]
struct File {
    hashed: Vec<u8>,
    read: Vec<u8>,
}

impl MemoryReleases {
    /// Puts a file in its place, or takes it away.
    pub fn put(&self, path: &str, bytes: Option<&[u8]>) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.remove(path);
        files.extend(
            bytes.map(|bytes| (path.to_owned(), File { hashed: bytes.to_vec(), read: bytes.to_vec() })),
        );
    }

    /// Puts a file in its place that is written to after it was hashed.
    pub fn put_changing(&self, path: &str, hashed: &[u8], read: &[u8]) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), File { hashed: hashed.to_vec(), read: read.to_vec() });
    }
}

#[async_trait]
impl ReleaseSource for MemoryReleases {
    async fn open(&self, path: &str) -> Result<Box<dyn Release>> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.get(path).ok_or_else(|| Error::not_found("the release"))?;
        Ok(Box::new(file.clone()))
    }
}

#[async_trait]
impl Release for File {
    fn size(&self) -> i64 {
        i64::try_from(self.hashed.len()).unwrap()
    }

    async fn sha256(&self) -> Result<Sha256Digest> {
        Ok(sha256(&self.hashed))
    }

    async fn read(&self, offset: i64, most: usize) -> Result<Vec<u8>> {
        Ok(self.read.iter().skip(usize::try_from(offset).unwrap()).take(most).copied().collect())
    }
}
