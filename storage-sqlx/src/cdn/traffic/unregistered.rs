//! Repository of unregistered hosts: the tables `unregistered_host` and `unregistered_lines`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{
    CdnId, LogFile, LogSourceId, OTHER_HOSTS, UnregisteredHost, UnregisteredKey, UnregisteredLines,
    UnregisteredLinesId, UnregisteredRepository, UnregisteredUsage,
};
use pilothouse_core::ports::StorageResult;

use super::log_chunk::{log_file, stored_file};
use crate::row::{FromRow, Row};
use crate::statement::{Statement, of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

statements! {
    INSERT = "INSERT INTO unregistered_lines (cdn_id, host, source_id, recorded, first_time, last_time, day, kept_from, \
         sealed, file, start, length, lines, raw_length, is_open, figures)";
    ADD_HOST = "INSERT INTO unregistered_host (cdn_id, host, lines, bytes, chunks, dropped, newest) \
         VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT (cdn_id, host) DO UPDATE SET \
         lines = unregistered_host.lines + excluded.lines, bytes = unregistered_host.bytes + excluded.bytes, \
         chunks = unregistered_host.chunks + excluded.chunks, newest = CASE WHEN excluded.newest > unregistered_host.newest \
         THEN excluded.newest ELSE unregistered_host.newest END";
    IN_PACK = "SELECT * FROM unregistered_lines WHERE NOT sealed AND file = $1 AND start = $2";
    FIRST = "SELECT * FROM unregistered_lines l WHERE cdn_id = $1 AND NOT EXISTS (SELECT 1 FROM unregistered_host h \
         WHERE h.cdn_id = l.cdn_id AND h.host = l.host AND h.is_listed) ORDER BY id LIMIT $2";
    EXPIRED = "SELECT * FROM unregistered_lines l WHERE recorded < $1 AND NOT EXISTS (SELECT 1 FROM unregistered_host h \
         WHERE h.cdn_id = l.cdn_id AND h.host = l.host AND h.is_listed) ORDER BY id LIMIT $2";
    OF_SOURCE = "SELECT * FROM unregistered_lines WHERE source_id = $1 ORDER BY id";
    CROWDED = "SELECT cdn_id, host, day, sealed FROM unregistered_lines l WHERE NOT is_open \
         AND NOT EXISTS (SELECT 1 FROM log_undo WHERE log_undo.source_id = l.source_id) \
         GROUP BY cdn_id, host, day, sealed HAVING COUNT(*) >= $1 LIMIT $2";
    OF_KEY = "SELECT * FROM unregistered_lines l WHERE cdn_id = $1 AND host = $2 AND day = $3 AND sealed = $4 \
         AND NOT is_open AND NOT EXISTS (SELECT 1 FROM log_undo WHERE log_undo.source_id = l.source_id) \
         ORDER BY id LIMIT $5";
    BY_IDS: pair = of_ids!("SELECT * FROM unregistered_lines WHERE id", "ORDER BY id");
    OF_HOST = "SELECT * FROM unregistered_lines WHERE cdn_id = $1 AND host = $2 ORDER BY id";
    DELETE: pair = of_ids!("DELETE FROM unregistered_lines WHERE id", "");
    REMOVE_FROM_HOST = "UPDATE unregistered_host SET lines = lines - $3, bytes = bytes - $4, chunks = chunks - $5, \
         dropped = dropped + $6 WHERE cdn_id = $1 AND host = $2";
    TAKE_EMPTY = "DELETE FROM unregistered_host WHERE cdn_id = $1 AND host = $2 AND chunks = 0 RETURNING dropped";
    TAKE_HOST = "DELETE FROM unregistered_host WHERE cdn_id = $1 AND host = $2";
    SET_LISTED = "UPDATE unregistered_host SET is_listed = $3 WHERE cdn_id = $1 AND host = $2 AND chunks > 0";
    HOSTS = "SELECT cdn_id, host, lines, bytes, dropped, is_listed, \
         (SELECT MIN(first_time) FROM unregistered_lines l WHERE l.cdn_id = h.cdn_id AND l.host = h.host) AS first_time, \
         (SELECT MAX(last_time) FROM unregistered_lines l WHERE l.cdn_id = h.cdn_id AND l.host = h.host) AS last_time \
         FROM unregistered_host h WHERE cdn_id = $1 ORDER BY host";
    USAGE = "SELECT COUNT(*) AS hosts, CAST(COALESCE(SUM(chunks), 0) AS BIGINT) AS chunks, \
         CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM unregistered_host \
         WHERE cdn_id = $1 AND chunks > 0 AND NOT is_listed";
    STALEST = "SELECT host FROM unregistered_host WHERE cdn_id = $1 AND chunks > 0 AND NOT is_listed \
         ORDER BY newest, host LIMIT 1";
    COUNT_DROPPED = "UPDATE unregistered_host SET dropped = dropped + $3 WHERE cdn_id = $1 AND host = $2";
    ADD_OTHER = "INSERT INTO unregistered_host (cdn_id, host, lines, bytes, chunks, dropped, newest) \
         VALUES ($1, $2, 0, 0, 0, $3, 0) ON CONFLICT (cdn_id, host) DO UPDATE SET \
         dropped = unregistered_host.dropped + excluded.dropped";
    FILES = "SELECT DISTINCT sealed, file FROM unregistered_lines";
}

impl FromRow for UnregisteredLines {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            id: row.get("id")?,
            cdn_id: row.get("cdn_id")?,
            host: row.get("host")?,
            source_id: row.get("source_id")?,
            recorded: row.get("recorded")?,
            first: row.get("first_time")?,
            last: row.get("last_time")?,
            day: row.get("day")?,
            kept_from: row.get("kept_from")?,
            file: log_file(row.get("sealed")?, row.get("file")?),
            offset: row.get("start")?,
            length: row.get("length")?,
            lines: row.get("lines")?,
            raw_length: row.get("raw_length")?,
            is_open: row.get("is_open")?,
            figures: row.get("figures")?,
        })
    }
}

impl FromRow for UnregisteredHost {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let first: Option<i64> = row.optional("first_time")?;
        let last: Option<i64> = row.optional("last_time")?;
        Ok(Self {
            cdn_id: row.get("cdn_id")?,
            host: row.get("host")?,
            lines: row.get("lines")?,
            bytes: row.get("bytes")?,
            times: first.zip(last),
            dropped: row.get("dropped")?,
            is_listed: row.get("is_listed")?,
        })
    }
}

impl FromRow for UnregisteredUsage {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { hosts: row.get("hosts")?, rows: row.get("chunks")?, bytes: row.get("bytes")? })
    }
}

impl FromRow for UnregisteredKey {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            cdn_id: row.get("cdn_id")?,
            host: row.get("host")?,
            day: row.get("day")?,
            is_merged: row.get("sealed")?,
        })
    }
}

/// Sums of rows of one host.
#[derive(Clone, Copy, Default)]
struct HostSums {
    lines: i64,
    bytes: i64,
    chunks: i64,
    newest: Option<DateTime<Utc>>,
}

/// Sums of rows by cdn and host.
fn host_sums(rows: &[UnregisteredLines]) -> BTreeMap<(CdnId, &str), HostSums> {
    let mut sums = BTreeMap::<_, HostSums>::new();
    for row in rows {
        let sum = sums.entry((row.cdn_id, &*row.host)).or_default();
        sum.lines += row.lines;
        sum.bytes += row.raw_length;
        sum.chunks += 1;
        sum.newest = sum.newest.max(Some(row.recorded));
    }
    sums
}

fn row_values(row: &UnregisteredLines) -> [Value<'_>; 16] {
    let (sealed, file) = stored_file(&row.file);
    [
        row.cdn_id.into(),
        (&row.host).into(),
        row.source_id.into(),
        row.recorded.into(),
        row.first.into(),
        row.last.into(),
        row.day.into(),
        row.kept_from.into(),
        sealed.into(),
        file.into(),
        row.offset.into(),
        row.length.into(),
        row.lines.into(),
        row.raw_length.into(),
        row.is_open.into(),
        row.figures[..].into(),
    ]
}

impl Transaction {
    /// Removes the rows that a statement finds, and counts them as dropped where they are; how many.
    async fn remove_lines(
        &mut self,
        found_by: Statement,
        values: &[Value<'_>],
        are_dropped: bool,
    ) -> StorageResult<u64> {
        let rows: Vec<UnregisteredLines> = self.connection.all(found_by, values).await?;
        let gone: Vec<UnregisteredLinesId> = rows.iter().map(|row| row.id).collect();
        let removed = self.connection.execute(DELETE, values![ids(&gone)]).await?;
        for ((cdn_id, host), sums) in host_sums(&rows) {
            let dropped = if are_dropped { sums.lines } else { 0 };
            let values = values![cdn_id, host, sums.lines, sums.bytes, sums.chunks, dropped];
            self.connection.execute(REMOVE_FROM_HOST, values).await?;
            // Of a host without lines nothing is left but what was dropped, which is counted together.
            let dropped: Option<i64> = self.connection.optional(TAKE_EMPTY, values![cdn_id, host]).await?;
            if let Some(dropped) = dropped.filter(|dropped| *dropped > 0) {
                self.connection.execute(ADD_OTHER, values![cdn_id, OTHER_HOSTS, dropped]).await?;
            }
        }
        Ok(removed)
    }
}

#[async_trait]
impl UnregisteredRepository for Transaction {
    async fn insert(&mut self, lines: &[UnregisteredLines]) -> StorageResult<()> {
        let values: Vec<_> = lines.iter().flat_map(row_values).collect();
        self.connection.execute_rows(INSERT, "", 16, &values).await?;
        for ((cdn_id, host), sums) in host_sums(lines) {
            let newest = sums.newest.unwrap_or_default();
            let values = values![cdn_id, host, sums.lines, sums.bytes, sums.chunks, newest];
            self.connection.execute(ADD_HOST, values).await?;
        }
        Ok(())
    }

    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool> {
        Ok(self.remove_lines(IN_PACK, values![pack, offset], false).await? > 0)
    }

    async fn hosts(&mut self, cdn_id: CdnId) -> StorageResult<Vec<UnregisteredHost>> {
        let mut hosts: Vec<UnregisteredHost> = self.connection.all(HOSTS, values![cdn_id]).await?;
        // Databases differ in how they order text.
        hosts.sort_unstable_by(|a, b| a.host.cmp(&b.host));
        Ok(hosts)
    }

    async fn usage(&mut self, cdn_id: CdnId) -> StorageResult<UnregisteredUsage> {
        self.connection.one(USAGE, values![cdn_id]).await
    }

    async fn take(&mut self, cdn_id: CdnId, host: &str) -> StorageResult<Vec<UnregisteredLines>> {
        let rows: Vec<UnregisteredLines> = self.connection.all(OF_HOST, values![cdn_id, host]).await?;
        let taken: Vec<UnregisteredLinesId> = rows.iter().map(|row| row.id).collect();
        self.connection.execute(DELETE, values![ids(&taken)]).await?;
        self.connection.execute(TAKE_HOST, values![cdn_id, host]).await?;
        Ok(rows)
    }

    async fn set_listed(&mut self, cdn_id: CdnId, host: &str, is_listed: bool) -> StorageResult<()> {
        self.connection.execute(SET_LISTED, values![cdn_id, host, is_listed]).await.map(|_| ())
    }

    async fn drop_host(&mut self, cdn_id: CdnId) -> StorageResult<()> {
        let host: Option<String> = self.connection.optional(STALEST, values![cdn_id]).await?;
        let Some(host) = host else { return Ok(()) };
        self.remove_lines(OF_HOST, values![cdn_id, &host], true).await.map(|_| ())
    }

    async fn drop_first(&mut self, cdn_id: CdnId, count: i64) -> StorageResult<()> {
        self.remove_lines(FIRST, values![cdn_id, count], true).await.map(|_| ())
    }

    async fn crowded(&mut self, rows: i64, count: i64) -> StorageResult<Vec<UnregisteredKey>> {
        self.connection.all(CROWDED, values![rows, count]).await
    }

    async fn of_key(&mut self, key: &UnregisteredKey, count: i64) -> StorageResult<Vec<UnregisteredLines>> {
        let UnregisteredKey { cdn_id, host, day, is_merged } = key;
        self.connection.all(OF_KEY, values![*cdn_id, host, *day, *is_merged, count]).await
    }

    async fn delete(&mut self, gone: &[UnregisteredLinesId]) -> StorageResult<u64> {
        self.remove_lines(BY_IDS, values![ids(gone)], false).await
    }

    async fn count_dropped(&mut self, cdn_id: CdnId, host: &str, lines: i64) -> StorageResult<()> {
        if self.connection.execute(COUNT_DROPPED, values![cdn_id, host, lines]).await? == 0 {
            self.connection.execute(ADD_OTHER, values![cdn_id, OTHER_HOSTS, lines]).await?;
        }
        Ok(())
    }

    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        self.remove_lines(OF_SOURCE, values![source_id], false).await
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.remove_lines(EXPIRED, values![before, count], false).await
    }

    async fn files(&mut self) -> StorageResult<Vec<LogFile>> {
        let rows: Vec<(bool, String)> = self.connection.all(FILES, values![]).await?;
        Ok(rows.into_iter().map(|(sealed, name)| log_file(sealed, name)).collect())
    }
}
