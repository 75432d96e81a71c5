//! Repository of undo records: the table `log_undo`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{LogSourceId, LogUndoRepository, UndoRecord};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    INSERT = "INSERT INTO log_undo (source_id, domain_id, recorded, options, pack, lines, counted_later, figures)";
    OF_SOURCE = "SELECT * FROM log_undo WHERE source_id = $1 ORDER BY id";
    DELETE = "DELETE FROM log_undo WHERE source_id = $1";
    EXPIRE = "DELETE FROM log_undo WHERE recorded < $1";
    PACKS = "SELECT DISTINCT pack FROM log_undo WHERE pack <> ''";
}

impl FromRow for UndoRecord {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            source_id: row.get("source_id")?,
            domain_id: row.get("domain_id")?,
            recorded: row.get("recorded")?,
            options: row.get("options")?,
            pack: row.get("pack")?,
            lines: row.get("lines")?,
            counted_later: row.get("counted_later")?,
            figures: row.get("figures")?,
        })
    }
}

fn row_values(record: &UndoRecord) -> [Value<'_>; 8] {
    [
        record.source_id.into(),
        record.domain_id.into(),
        record.recorded.into(),
        (&record.options).into(),
        (&record.pack).into(),
        record.lines.into(),
        record.counted_later.into(),
        record.figures[..].into(),
    ]
}

#[async_trait]
impl LogUndoRepository for Transaction {
    async fn insert(&mut self, records: &[UndoRecord]) -> StorageResult<()> {
        let values: Vec<_> = records.iter().flat_map(row_values).collect();
        self.connection.execute_rows(INSERT, "", 8, &values).await.map(|_| ())
    }

    async fn of_source(&mut self, source_id: LogSourceId) -> StorageResult<Vec<UndoRecord>> {
        self.connection.all(OF_SOURCE, values![source_id]).await
    }

    async fn delete(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        self.connection.execute(DELETE, values![source_id]).await
    }

    async fn expire(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(EXPIRE, values![before]).await
    }

    async fn packs(&mut self) -> StorageResult<Vec<String>> {
        let mut packs: Vec<String> = self.connection.all(PACKS, values![]).await?;
        packs.sort_unstable();
        Ok(packs)
    }
}
