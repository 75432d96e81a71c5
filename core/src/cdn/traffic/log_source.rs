//! Log sources: the position up to which each access log of an edge was read, so that no line counts twice.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::cdn::identifier::CdnId;
use crate::id::id;
use crate::ports::StorageResult;

/// Finds the sources of an edge that may be one log; the reader of logs makes it.
pub type SourceKey = [u8; 16];

/// Counts of lines by what was done with them.
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
    /// Purge requests of the control plane, not billed.
    pub purges: i64,
}

impl Counters {
    /// Adds the counts of another batch.
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.billed += other.billed;
        self.kept += other.kept;
        self.unreadable += other.unreadable;
        self.unregistered += other.unregistered;
        self.purges += other.purges;
    }

    /// Counts without those of a log that is taken back, of which there may be less.
    pub(super) fn without(self, other: Self) -> Self {
        let rest = |all: i64, part: i64| (all - part).max(0);
        Self {
            lines: rest(self.lines, other.lines),
            billed: rest(self.billed, other.billed),
            kept: rest(self.kept, other.kept),
            unreadable: rest(self.unreadable, other.unreadable),
            unregistered: rest(self.unregistered, other.unregistered),
            purges: rest(self.purges, other.purges),
        }
    }
}

id! {
    /// The id of a log source; later ones are greater.
    LogSourceId
}

/// A log of one edge as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// Id; later ones are greater.
    pub id: LogSourceId,
    /// The cdn of the edge.
    pub cdn_id: CdnId,
    /// The edge, by name.
    pub edge: String,
    /// Key that it is found by, made from the log's first bytes.
    pub key: SourceKey,
    /// Bytes read so far.
    pub length: i64,
    /// Reader's own state, opaque to the store: at most 64 KiB.
    pub state: Vec<u8>,
    /// Counts of its lines so far.
    pub counters: Counters,
    /// Time of the last batch.
    pub recorded: DateTime<Utc>,
    /// Bytes of a shipped log that operators gave up.
    pub skipped: i64,
}

/// Read logs in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait LogSourceRepository: Send {
    /// The sources of an edge with one of the keys, by id.
    async fn find(&mut self, cdn_id: CdnId, edge: &str, keys: &[SourceKey]) -> StorageResult<Vec<LogSource>>;
    /// Finds a source by id.
    async fn by_id(&mut self, id: LogSourceId) -> StorageResult<Option<LogSource>>;
    /// The greatest id of an edge's sources; `None` where it has none.
    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<Option<LogSourceId>>;
    /// Adds a source, ignoring `id`, and returns its id.
    async fn insert(&mut self, source: &LogSource) -> StorageResult<LogSourceId>;
    /// Replaces key, length, state, counters, time and skipped bytes of a source whose length is still `length`; whether it was.
    async fn update(&mut self, source: &LogSource, length: i64) -> StorageResult<bool>;
    /// Forgets a source; whether there was one.
    async fn delete(&mut self, id: LogSourceId) -> StorageResult<bool>;
    /// Forgets the first `count` sources, by id, that were last read before a time; how many.
    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64>;
}
