//! How far access logs were read.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{CdnId, Counters, LogSource, LogSourceRepository, SourceKey};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{array, time, values};

const FIND: &str = "SELECT * FROM log_source WHERE cdn_id = $1 AND edge = $2 AND source_key = $3 ORDER BY id";
const BY_ID: &str = "SELECT * FROM log_source WHERE id = $1";
const NEWEST: &str = "SELECT COALESCE(MAX(id), 0) FROM log_source WHERE cdn_id = $1 AND edge = $2";
const INSERT: &str = "INSERT INTO log_source (source_key, length, state, lines, billed, kept, unreadable, \
     unregistered, purges, recorded, cdn_id, edge) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
     RETURNING id";
const UPDATE: &str = "UPDATE log_source SET source_key = $1, length = $2, state = $3, lines = $4, billed = $5, \
     kept = $6, unreadable = $7, unregistered = $8, purges = $9, recorded = $10 WHERE id = $11 AND length = $12";
const PRUNE: &str = "DELETE FROM log_source WHERE recorded < $1";

#[derive(FromRow)]
struct SourceRow {
    id: i64,
    cdn_id: i64,
    edge: String,
    source_key: Vec<u8>,
    length: i64,
    state: Vec<u8>,
    lines: i64,
    billed: i64,
    kept: i64,
    unreadable: i64,
    unregistered: i64,
    purges: i64,
    recorded: i64,
}

impl TryFrom<SourceRow> for LogSource {
    type Error = StorageError;

    fn try_from(row: SourceRow) -> StorageResult<Self> {
        let SourceRow { id, cdn_id, edge, length, state, lines, billed, kept, .. } = row;
        let SourceRow { unreadable, unregistered, purges, .. } = row;
        Ok(Self {
            id,
            cdn_id,
            edge,
            key: array(&row.source_key, "source key")?,
            length,
            state,
            counters: Counters { lines, billed, kept, unreadable, unregistered, purges },
            recorded: time(row.recorded)?,
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
            let rows = self.connection.all::<SourceRow>(FIND, values![cdn_id, edge, &key[..]]).await?;
            for row in rows {
                found.push(LogSource::try_from(row)?);
            }
        }
        found.sort_unstable_by_key(|source| source.id);
        Ok(found)
    }

    async fn by_id(&mut self, id: i64) -> StorageResult<Option<LogSource>> {
        let found = self.connection.optional::<SourceRow>(BY_ID, values![id]).await?;
        found.map(LogSource::try_from).transpose()
    }

    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<i64> {
        let (id,) = self.connection.one(NEWEST, values![cdn_id, edge]).await?;
        Ok(id)
    }

    async fn insert(&mut self, source: &LogSource) -> StorageResult<i64> {
        let LogSource { cdn_id, edge, key, length, state, counters, recorded, .. } = source;
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
            edge
        ];
        let (id,) = self.connection.one(INSERT, values).await?;
        Ok(id)
    }

    async fn update(&mut self, source: &LogSource, before: i64) -> StorageResult<bool> {
        let LogSource { id, key, length, state, counters, recorded, .. } = source;
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
            before
        ];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before]).await
    }
}
