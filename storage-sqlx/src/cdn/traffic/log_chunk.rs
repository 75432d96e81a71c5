//! Repository of kept log lines: the table `log_chunk`.

use async_trait::async_trait;
use chrono::NaiveDate;
use pilothouse_core::cdn::{DomainId, LogChunk, LogChunkId, LogChunkRepository, LogFile};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

statements! {
    INSERT = "INSERT INTO log_chunk (domain_id, day, kept_from, sealed, file, start, length, lines, raw_length, place, \
         is_open, sha256)";
    WITHDRAW = "DELETE FROM log_chunk WHERE NOT sealed AND file = $1 AND start = $2";
    OF_PACK = "SELECT * FROM log_chunk WHERE NOT sealed AND file = $1 ORDER BY id";
    OF_DAY: pair = of_ids!(
        "SELECT * FROM log_chunk WHERE domain_id",
        "AND day = $2 ORDER BY CASE place WHEN 0 THEN id ELSE place END, id"
    );
    SIZES: pair = of_ids!(
        "SELECT day, CAST(SUM(length) AS BIGINT) FROM log_chunk WHERE domain_id",
        "AND day BETWEEN $2 AND $3 GROUP BY day ORDER BY day"
    );
    UNSEALED =
        "SELECT DISTINCT domain_id, day FROM log_chunk WHERE NOT sealed AND day < $1 ORDER BY day, domain_id";
    EXPIRED = "SELECT * FROM log_chunk WHERE kept_from < $1 ORDER BY id LIMIT $2";
    DELETE: pair = of_ids!("DELETE FROM log_chunk WHERE id", "");
    CROWDED = "SELECT domain_id, day FROM log_chunk WHERE NOT sealed GROUP BY day, domain_id \
         HAVING COUNT(*) >= $1 ORDER BY day, domain_id";
    FILES = "SELECT DISTINCT sealed, file FROM log_chunk";
}

impl FromRow for LogChunk {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let id = row.get("id")?;
        let place = row.get("place")?;
        Ok(Self {
            id,
            domain_id: row.get("domain_id")?,
            day: row.get("day")?,
            kept_from: row.get("kept_from")?,
            file: log_file(row.get("sealed")?, row.get("file")?),
            offset: row.get("start")?,
            length: row.get("length")?,
            lines: row.get("lines")?,
            raw_length: row.get("raw_length")?,
            place: if place == 0 { id.0 } else { place },
            is_open: row.get("is_open")?,
            sha256: row.optional("sha256")?,
        })
    }
}

pub(super) fn log_file(sealed: bool, name: String) -> LogFile {
    if sealed { LogFile::Sealed(name) } else { LogFile::Pack(name) }
}

/// Whether a file is sealed, and its name: the two columns that [`log_file`] reads.
pub(super) fn stored_file(file: &LogFile) -> (bool, &str) {
    match file {
        LogFile::Pack(name) => (false, name),
        LogFile::Sealed(name) => (true, name),
    }
}

#[async_trait]
impl LogChunkRepository for Transaction {
    async fn insert(&mut self, chunks: &[LogChunk]) -> StorageResult<()> {
        let row = |chunk: &'_ LogChunk| -> [Value<'static>; 12] {
            let (sealed, file) = stored_file(&chunk.file);
            [
                chunk.domain_id.into(),
                chunk.day.into(),
                chunk.kept_from.into(),
                sealed.into(),
                file.to_owned().into(),
                chunk.offset.into(),
                chunk.length.into(),
                chunk.lines.into(),
                chunk.raw_length.into(),
                chunk.place.into(),
                chunk.is_open.into(),
                Value::Bytes(chunk.sha256.map(|digest| digest.to_vec().into())),
            ]
        };
        let values: Vec<_> = chunks.iter().flat_map(row).collect();
        self.connection.execute_rows(INSERT, "", 12, &values).await.map(|_| ())
    }

    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool> {
        Ok(self.connection.execute(WITHDRAW, values![pack, offset]).await? > 0)
    }

    async fn of_pack(&mut self, pack: &str) -> StorageResult<Vec<LogChunk>> {
        self.connection.all(OF_PACK, values![pack]).await
    }

    async fn of_day(&mut self, domains: &[DomainId], day: NaiveDate) -> StorageResult<Vec<LogChunk>> {
        self.connection.all(OF_DAY, values![ids(domains), day]).await
    }

    async fn sizes(
        &mut self,
        domains: &[DomainId],
        first: NaiveDate,
        last: NaiveDate,
    ) -> StorageResult<Vec<(NaiveDate, i64)>> {
        self.connection.all(SIZES, values![ids(domains), first, last]).await
    }

    async fn unsealed(&mut self, before: NaiveDate) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        self.connection.all(UNSEALED, values![before]).await
    }

    async fn expired(&mut self, before: NaiveDate, limit: i64) -> StorageResult<Vec<LogChunk>> {
        self.connection.all(EXPIRED, values![before, limit]).await
    }

    async fn delete(&mut self, chunks: &[LogChunkId]) -> StorageResult<u64> {
        self.connection.execute(DELETE, values![ids(chunks)]).await
    }

    async fn crowded(&mut self, least: i64) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        self.connection.all(CROWDED, values![least]).await
    }

    async fn files(&mut self) -> StorageResult<Vec<LogFile>> {
        let rows: Vec<(bool, String)> = self.connection.all(FILES, values![]).await?;
        Ok(rows.into_iter().map(|(sealed, name)| log_file(sealed, name)).collect())
    }
}
