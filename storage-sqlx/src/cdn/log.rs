//! Kept lines of access logs.

use async_trait::async_trait;
use chrono::NaiveDate;
use pilothouse_core::cdn::{DomainId, LogChunk, LogChunkRepository, LogFile};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::database::of_ids;
use crate::storage::Transaction;
use crate::value::{Value, array, date, values};

const INSERT: &str = "INSERT INTO log_chunk (domain_id, day, kept_from, sealed, file, start, length, lines, raw_length, place, \
     is_open, sha256)";
const WITHDRAW: &str = "DELETE FROM log_chunk WHERE NOT sealed AND file = $1 AND start = $2";
const OF_DAY: [&str; 2] = of_ids!(
    "SELECT * FROM log_chunk WHERE domain_id",
    "AND day = $2 ORDER BY CASE place WHEN 0 THEN id ELSE place END, id"
);
const SIZES: [&str; 2] = of_ids!(
    "SELECT day, CAST(SUM(length) AS BIGINT) FROM log_chunk WHERE domain_id",
    "AND day BETWEEN $2 AND $3 GROUP BY day ORDER BY day"
);
const UNSEALED: &str =
    "SELECT DISTINCT day, domain_id FROM log_chunk WHERE NOT sealed AND day < $1 ORDER BY day, domain_id";
const EXPIRED: &str = "SELECT * FROM log_chunk WHERE kept_from < $1 ORDER BY id LIMIT $2";
const DELETE: [&str; 2] = of_ids!("DELETE FROM log_chunk WHERE id", "");
const CROWDED: &str = "SELECT day, domain_id FROM log_chunk WHERE NOT sealed GROUP BY day, domain_id \
     HAVING COUNT(*) >= $1 ORDER BY day, domain_id";
const FILES: &str = "SELECT DISTINCT sealed, file FROM log_chunk";

#[derive(FromRow)]
struct ChunkRow {
    id: i64,
    domain_id: i64,
    day: i64,
    kept_from: i64,
    sealed: bool,
    file: String,
    start: i64,
    length: i64,
    lines: i64,
    raw_length: i64,
    place: i64,
    is_open: bool,
    sha256: Option<Vec<u8>>,
}

impl TryFrom<ChunkRow> for LogChunk {
    type Error = StorageError;

    fn try_from(row: ChunkRow) -> StorageResult<Self> {
        let ChunkRow {
            id,
            domain_id,
            day,
            kept_from,
            sealed,
            file,
            start: offset,
            length,
            lines,
            raw_length,
            place,
            is_open,
            sha256,
        } = row;
        let (file, place) = (log_file(sealed, file), if place == 0 { id } else { place });
        let (day, kept_from) = (date(day)?, date(kept_from)?);
        let sha256 = sha256.map(|digest| array(&digest, "digest of a log")).transpose()?;
        Ok(Self {
            id,
            domain_id,
            day,
            kept_from,
            file,
            offset,
            length,
            lines,
            raw_length,
            place,
            is_open,
            sha256,
        })
    }
}

fn log_file(sealed: bool, name: String) -> LogFile {
    if sealed { LogFile::Sealed(name) } else { LogFile::Pack(name) }
}

#[async_trait]
impl LogChunkRepository for Transaction {
    async fn insert(&mut self, chunks: &[LogChunk]) -> StorageResult<()> {
        let row = |chunk: &'_ LogChunk| -> [Value<'static>; 12] {
            let (sealed, file) = match &chunk.file {
                LogFile::Pack(name) => (false, name.clone()),
                LogFile::Sealed(name) => (true, name.clone()),
            };
            [
                chunk.domain_id.into(),
                chunk.day.into(),
                chunk.kept_from.into(),
                sealed.into(),
                file.into(),
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
        self.connection.insert_many(INSERT, "", 12, &values).await.map(|_| ())
    }

    async fn withdraw(&mut self, pack: &str, offset: i64) -> StorageResult<bool> {
        Ok(self.connection.execute(WITHDRAW, values![pack, offset]).await? > 0)
    }

    async fn of_day(&mut self, domains: &[DomainId], day: NaiveDate) -> StorageResult<Vec<LogChunk>> {
        let values = values![self.connection.list(domains), day];
        let rows = self.connection.all::<ChunkRow>(self.connection.either(OF_DAY), values).await?;
        rows.into_iter().map(LogChunk::try_from).collect()
    }

    async fn sizes(
        &mut self,
        domains: &[DomainId],
        first: NaiveDate,
        last: NaiveDate,
    ) -> StorageResult<Vec<(NaiveDate, i64)>> {
        let values = values![self.connection.list(domains), first, last];
        let rows: Vec<(i64, i64)> = self.connection.all(self.connection.either(SIZES), values).await?;
        rows.into_iter().map(|(day, size)| Ok((date(day)?, size))).collect()
    }

    async fn unsealed(&mut self, before: NaiveDate) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        let rows: Vec<(i64, i64)> = self.connection.all(UNSEALED, values![before]).await?;
        rows.into_iter().map(|(day, domain_id)| Ok((domain_id, date(day)?))).collect()
    }

    async fn expired(&mut self, before: NaiveDate, limit: i64) -> StorageResult<Vec<LogChunk>> {
        let rows = self.connection.all::<ChunkRow>(EXPIRED, values![before, limit]).await?;
        rows.into_iter().map(LogChunk::try_from).collect()
    }

    async fn delete(&mut self, ids: &[i64]) -> StorageResult<u64> {
        let values = values![self.connection.list(ids)];
        self.connection.execute(self.connection.either(DELETE), values).await
    }

    async fn crowded(&mut self, least: i64) -> StorageResult<Vec<(DomainId, NaiveDate)>> {
        let rows: Vec<(i64, i64)> = self.connection.all(CROWDED, values![least]).await?;
        rows.into_iter().map(|(day, domain_id)| Ok((domain_id, date(day)?))).collect()
    }

    async fn files(&mut self) -> StorageResult<Vec<LogFile>> {
        let rows: Vec<(bool, String)> = self.connection.all(FILES, values![]).await?;
        Ok(rows.into_iter().map(|(sealed, name)| log_file(sealed, name)).collect())
    }
}
