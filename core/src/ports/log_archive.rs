//! Log archive port: files of kept log lines.

use std::collections::HashSet;
use std::fmt::Debug;
use std::io;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::stream::BoxStream;

use crate::cdn::{LogChunk, LogFile};

/// Files of kept lines. A *pack* holds what was read at once, of many domains and days; a *sealed* file what was read
/// of one domain and day at different times. Both are gzip, and so is every chunk of them. Servers on one store share it.
#[async_trait]
pub trait LogArchive: Debug + Send + Sync + 'static {
    /// Writes what chunks hold, in their order, into the sealed file `name` of a day, durable on return. One of that name is
    /// replaced at once. `name` is made of `a-z`, `0-9` and `-`.
    async fn seal(&self, name: &str, day: NaiveDate, chunks: &[LogChunk]) -> io::Result<SealedLog>;

    /// The bytes of chunks, one after the other. What is missing is an error before the first byte.
    async fn read(&self, chunks: Vec<LogChunk>) -> io::Result<BoxStream<'static, io::Result<Vec<u8>>>>;

    /// Deletes a sealed file. One that is gone is fine.
    async fn delete(&self, name: &str, day: NaiveDate) -> io::Result<()>;

    /// Deletes the files that are not among `keep` and were written before a time; how many. Where the store was restored,
    /// those written between the newest of `keep` and that moment are spared: the rows that point at them were lost.
    async fn prune(
        &self,
        keep: HashSet<LogFile>,
        before: DateTime<Utc>,
        restored: Option<DateTime<Utc>>,
    ) -> io::Result<u64>;
}

/// A sealed file as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedLog {
    /// Size of the gzip file in bytes.
    pub length: i64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}
