//! Repository of log sources, the positions up to which access logs were read: the table `log_source`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{CdnId, Counters, LogSource, LogSourceId, LogSourceRepository, SourceKey};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    FIND = "SELECT * FROM log_source WHERE cdn_id = $1 AND edge = $2 AND source_key = $3 ORDER BY id";
    BY_ID = "SELECT * FROM log_source WHERE id = $1";
    NEWEST = "SELECT MAX(id) FROM log_source WHERE cdn_id = $1 AND edge = $2";
    INSERT = "INSERT INTO log_source (source_key, length, state, lines, billed, kept, unreadable, \
         unregistered, purges, recorded, cdn_id, edge, skipped) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         RETURNING id";
    UPDATE = "UPDATE log_source SET source_key = $1, length = $2, state = $3, lines = $4, billed = $5, \
         kept = $6, unreadable = $7, unregistered = $8, purges = $9, recorded = $10, skipped = $13 \
         WHERE id = $11 AND length = $12";
    DELETE = "DELETE FROM log_source WHERE id = $1";
    PRUNE = "DELETE FROM log_source WHERE id IN (\
         SELECT id FROM log_source WHERE recorded < $1 ORDER BY id LIMIT $2)";
}

impl FromRow for LogSource {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let counters = Counters {
            lines: row.get("lines")?,
            billed: row.get("billed")?,
            kept: row.get("kept")?,
            unreadable: row.get("unreadable")?,
            unregistered: row.get("unregistered")?,
            purges: row.get("purges")?,
        };
        Ok(Self {
            id: row.get("id")?,
            cdn_id: row.get("cdn_id")?,
            edge: row.get("edge")?,
            key: row.get("source_key")?,
            length: row.get("length")?,
            state: row.get("state")?,
            counters,
            recorded: row.get("recorded")?,
            skipped: row.get("skipped")?,
        })
    }
}

#[async_trait]
impl LogSourceRepository for Transaction {
    async fn find(&mut self, cdn_id: CdnId, edge: &str, keys: &[SourceKey]) -> StorageResult<Vec<LogSource>> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let mut found = Vec::new();
        for key in keys {
            found.extend(self.connection.all::<LogSource>(FIND, values![cdn_id, edge, &key[..]]).await?);
        }
        found.sort_unstable_by_key(|source| source.id);
        Ok(found)
    }

    async fn by_id(&mut self, id: LogSourceId) -> StorageResult<Option<LogSource>> {
        self.connection.optional(BY_ID, values![id]).await
    }

    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<Option<LogSourceId>> {
        self.connection.one(NEWEST, values![cdn_id, edge]).await
    }

    async fn insert(&mut self, source: &LogSource) -> StorageResult<LogSourceId> {
        let LogSource { cdn_id, edge, key, length, state, counters, recorded, skipped, .. } = source;
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = *counters;
        let values = values![
            &key[..],
            *length,
            &state[..],
            lines,
            billed,
            kept,
            unreadable,
            unregistered,
            purges,
            *recorded,
            *cdn_id,
            edge,
            *skipped
        ];
        self.connection.one(INSERT, values).await
    }

    async fn update(&mut self, source: &LogSource, before: i64) -> StorageResult<bool> {
        let LogSource { id, key, length, state, counters, recorded, skipped, .. } = source;
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = *counters;
        let values = values![
            &key[..],
            *length,
            &state[..],
            lines,
            billed,
            kept,
            unreadable,
            unregistered,
            purges,
            *recorded,
            *id,
            before,
            *skipped
        ];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn delete(&mut self, id: LogSourceId) -> StorageResult<bool> {
        Ok(self.connection.execute(DELETE, values![id]).await? > 0)
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
