//! Repository of edge logs, what was taken in of the log of each edge: the table `edge_log`.

use async_trait::async_trait;
use pilothouse_core::cdn::{CdnId, Counters, EdgeLog, EdgeLogRepository, LineStretch, LogKind, Refusal};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    FIND = "SELECT * FROM edge_log WHERE cdn_id = $1 AND edge = $2 AND kind = $3";
    LIST = "SELECT * FROM edge_log WHERE cdn_id = $1";
    PUT = "INSERT INTO edge_log (cdn_id, edge, kind, bytes, lines, billed, kept, unreadable, unregistered, purges, \
         last_line, recorded, seen, unread, recent_since, recent_lines, recent_unreadable, \
         judged_since, judged_lines, judged_unreadable, refused_since, refusal) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
         ON CONFLICT (cdn_id, edge, kind) DO UPDATE SET bytes = excluded.bytes, lines = excluded.lines, \
         billed = excluded.billed, kept = excluded.kept, unreadable = excluded.unreadable, \
         unregistered = excluded.unregistered, purges = excluded.purges, last_line = excluded.last_line, \
         recorded = excluded.recorded, seen = excluded.seen, unread = excluded.unread, \
         recent_since = excluded.recent_since, recent_lines = excluded.recent_lines, \
         recent_unreadable = excluded.recent_unreadable, judged_since = excluded.judged_since, \
         judged_lines = excluded.judged_lines, judged_unreadable = excluded.judged_unreadable, \
         refused_since = excluded.refused_since, refusal = excluded.refusal";
}

impl FromRow for EdgeLog {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let kind = LogKind::from_id(row.get("kind")?);
        let counters = Counters {
            lines: row.get("lines")?,
            billed: row.get("billed")?,
            kept: row.get("kept")?,
            unreadable: row.get("unreadable")?,
            unregistered: row.get("unregistered")?,
            purges: row.get("purges")?,
        };
        let recent = LineStretch {
            since: row.get("recent_since")?,
            lines: row.get("recent_lines")?,
            unreadable: row.get("recent_unreadable")?,
        };
        let judged = match row.optional("judged_since")? {
            Some(since) => {
                let (lines, unreadable) = (row.get("judged_lines")?, row.get("judged_unreadable")?);
                Some(LineStretch { since, lines, unreadable })
            }
            None => None,
        };
        let refusal = match row.optional("refused_since")? {
            Some(since) => Some(Refusal { since, reason: row.get("refusal")? }),
            None => None,
        };
        Ok(Self {
            cdn_id: row.get("cdn_id")?,
            edge: row.get("edge")?,
            kind: kind.ok_or(StorageError::Corrupt { what: "kind" })?,
            bytes: row.get("bytes")?,
            counters,
            last_line: row.optional("last_line")?,
            recorded: row.optional("recorded")?,
            seen: row.get("seen")?,
            unread: row.optional("unread")?,
            recent,
            judged,
            refusal,
        })
    }
}

#[async_trait]
impl EdgeLogRepository for Transaction {
    async fn find(&mut self, cdn_id: CdnId, edge: &str, kind: LogKind) -> StorageResult<Option<EdgeLog>> {
        self.connection.optional(FIND, values![cdn_id, edge, kind.id()]).await
    }

    async fn put(&mut self, log: &EdgeLog) -> StorageResult<()> {
        let EdgeLog { cdn_id, edge, kind, bytes, last_line, recorded, seen, unread, .. } = log;
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = log.counters;
        let values = values![
            *cdn_id,
            edge,
            kind.id(),
            *bytes,
            lines,
            billed,
            kept,
            unreadable,
            unregistered,
            purges,
            *last_line,
            *recorded,
            *seen,
            *unread,
            log.recent.since,
            log.recent.lines,
            log.recent.unreadable,
            log.judged.map(|judged| judged.since),
            log.judged.map(|judged| judged.lines),
            log.judged.map(|judged| judged.unreadable),
            log.refusal.as_ref().map(|refusal| refusal.since),
            log.refusal.as_ref().map(|refusal| &*refusal.reason),
        ];
        self.connection.execute(PUT, values).await.map(|_| ())
    }

    async fn list(&mut self, cdn_id: CdnId) -> StorageResult<Vec<EdgeLog>> {
        let mut logs: Vec<EdgeLog> = self.connection.all(LIST, values![cdn_id]).await?;
        // Databases differ in how they order text.
        logs.sort_unstable_by(|a, b| (&a.edge, a.kind).cmp(&(&b.edge, b.kind)));
        Ok(logs)
    }
}
