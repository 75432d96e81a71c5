//! Kept lines of access logs: chunks of packs and sealed files.

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::cdn::identifier::DomainId;
use crate::id::id;
use crate::ports::StorageResult;

/// The file a chunk lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// A pack, by name.
    Pack(String),
    /// A sealed file of the chunk's day, by name.
    Sealed(String),
}

id! {
    /// The id of a log chunk; later ones are greater.
    LogChunkId
}

/// Kept lines of one domain and day, compressed: a part of a file that is gzip by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Id; later ones are greater.
    pub id: LogChunkId,
    /// Domain whose lines they are.
    pub domain_id: DomainId,
    /// The day, in the server's zone.
    pub day: NaiveDate,
    /// The day its retention counts from: its own, or the one it was recorded on where that is later, so that history
    /// read in today is not forgotten tomorrow.
    pub kept_from: NaiveDate,
    /// File that holds it.
    pub file: LogFile,
    /// Offset in that file, in bytes.
    pub offset: i64,
    /// Compressed size in bytes.
    pub length: i64,
    /// Number of log lines in it.
    pub lines: i64,
    /// Bytes before compression.
    pub raw_length: i64,
    /// Place in its day: chunks with smaller places come first. 0 where it is added behind all others.
    pub place: i64,
    /// Whether it is a line that had no line end, and may be withdrawn when it grows.
    pub is_open: bool,
    /// SHA-256 of the whole file, if that is sealed.
    pub sha256: Option<[u8; 32]>,
}

/// Kept lines in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait LogChunkRepository: Send {
    /// Adds chunks, ignoring `id`. One with the place 0 has its id as its place from then on.
    async fn insert(&mut self, chunks: &[LogChunk]) -> StorageResult<()>;
    /// Forgets the chunk at an offset of a pack; whether there was one.
    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool>;
    /// The chunks in a pack, by id.
    async fn of_pack(&mut self, pack: &str) -> StorageResult<Vec<LogChunk>>;
    /// The chunks of some domains on one day, by place and id.
    async fn of_day(&mut self, domains: &[DomainId], day: NaiveDate) -> StorageResult<Vec<LogChunk>>;
    /// The bytes of some domains together, by day, of the days from `first` to `last` that have any.
    async fn sizes(
        &mut self,
        domains: &[DomainId],
        first: NaiveDate,
        last: NaiveDate,
    ) -> StorageResult<Vec<(NaiveDate, i64)>>;
    /// Domains and days before `before` with chunks in packs, by day and domain.
    async fn unsealed(&mut self, before: NaiveDate) -> StorageResult<Vec<(DomainId, NaiveDate)>>;
    /// Domains and days with at least so many chunks in packs, by day and domain.
    async fn crowded(&mut self, least: i64) -> StorageResult<Vec<(DomainId, NaiveDate)>>;
    /// Chunks kept from before `before`, by id, at most `limit` of them.
    async fn expired(&mut self, before: NaiveDate, limit: i64) -> StorageResult<Vec<LogChunk>>;
    /// Removes chunks; how many there were.
    async fn delete(&mut self, ids: &[LogChunkId]) -> StorageResult<u64>;
    /// The files that chunks lie in, each once, in no order.
    async fn files(&mut self) -> StorageResult<Vec<LogFile>>;
}
