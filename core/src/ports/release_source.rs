//! Release source port: the files from which tasks without a blob take their content.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;
use crate::ops::Sha256Digest;

/// Released files by the paths that they have on machines.
#[async_trait]
pub trait ReleaseSource: Debug + Send + Sync + 'static {
    /// Opens the file of an absolute path without empty, `.` and `..` components. Not found where there is none; an invalid
    /// `content` where it is no regular file, or a symbolic link leads to it.
    async fn open(&self, path: &str) -> Result<Box<dyn Release>>;
}

/// Open released file. A file that takes its place afterwards is not seen.
#[async_trait]
pub trait Release: Debug + Send + Sync {
    /// Size in bytes when it was opened.
    fn size(&self) -> i64;

    /// SHA-256 of the first [`Release::size`] bytes, which are read for it.
    async fn sha256(&self) -> Result<Sha256Digest>;

    /// Up to `most` bytes from `offset` on; empty at the end.
    async fn read(&self, offset: i64, most: usize) -> Result<Vec<u8>>;
}
