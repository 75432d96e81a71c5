//! How far the access logs of an edge were read, so that no line counts twice.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::CdnId;
use crate::ports::StorageResult;

/// Finds the sources of an edge that may be one log; the reader of logs makes it.
pub type SourceKey = [u8; 16];

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// All lines. Each is exactly one of billed, unreadable, unregistered and a purge.
    pub lines: i64,
    /// Lines that are in the traffic.
    pub billed: i64,
    /// Lines kept for download.
    pub kept: i64,
    /// Lines of which host, time, request, status or bytes could not be read.
    pub unreadable: i64,
    /// Lines of hosts that are not registered.
    pub unregistered: i64,
    /// Purge requests.
    pub purges: i64,
}

/// A log of one edge as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// Its id; later ones are greater.
    pub id: i64,
    /// The cdn of the edge.
    pub cdn_id: CdnId,
    /// The edge, by name.
    pub edge: String,
    /// What it is found by.
    pub key: SourceKey,
    /// The bytes read.
    pub length: i64,
    /// What it was, as the reader of logs wrote it.
    pub state: Vec<u8>,
    /// What became of its lines.
    pub counters: Counters,
    /// When it was last read.
    pub recorded: DateTime<Utc>,
}

/// Read logs in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait LogSourceRepository: Send {
    /// The sources of an edge with one of the keys, by id.
    async fn find(&mut self, cdn_id: CdnId, edge: &str, keys: &[SourceKey]) -> StorageResult<Vec<LogSource>>;
    /// By id.
    async fn by_id(&mut self, id: i64) -> StorageResult<Option<LogSource>>;
    /// The greatest id of an edge's sources, 0 where it has none.
    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<i64>;
    /// Adds a source, ignoring `id`, and returns its id.
    async fn insert(&mut self, source: &LogSource) -> StorageResult<i64>;
    /// Replaces key, length, state, counters and time of a source whose length is still `length`; whether it was.
    async fn update(&mut self, source: &LogSource, length: i64) -> StorageResult<bool>;
    /// Forgets the sources last read before a time; how many.
    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64>;
}
