//! Top URLs repository: the table `top_urls`.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{Day, DomainId, Hour, LogSourceId, TopUrlsKey, TopUrlsPiece, TopUrlsRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::statements;
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    INSERT = "INSERT INTO top_urls (domain_id, hour, source_id, kept_from, data)";
    OF_HOURS = "SELECT * FROM top_urls WHERE domain_id = $1 AND hour >= $2 AND hour <= $3 ORDER BY hour, id";
    CROWDED = "SELECT domain_id, hour, source_id FROM top_urls GROUP BY domain_id, hour, source_id \
         HAVING COUNT(*) >= $1 ORDER BY domain_id, hour, source_id LIMIT $2";
    OF_KEY = "SELECT * FROM top_urls WHERE domain_id = $1 AND hour = $2 AND source_id = $3 ORDER BY id";
    DELETE_KEY = "DELETE FROM top_urls WHERE domain_id = $1 AND hour = $2 AND source_id = $3";
    SETTLE = "UPDATE top_urls SET source_id = 0 WHERE source_id <> 0 \
         AND source_id NOT IN (SELECT source_id FROM log_undo)";
    DELETE_SOURCE = "DELETE FROM top_urls WHERE source_id = $1";
    PRUNE = "DELETE FROM top_urls WHERE id IN (\
         SELECT id FROM top_urls WHERE kept_from < $1 ORDER BY id LIMIT $2)";
}

impl FromRow for TopUrlsPiece {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            domain_id: row.get("domain_id")?,
            hour: row.get("hour")?,
            source_id: row.get("source_id")?,
            kept_from: row.get("kept_from")?,
            data: row.get("data")?,
        })
    }
}

fn row_values(piece: &TopUrlsPiece) -> [Value<'_>; 5] {
    let TopUrlsPiece { domain_id, hour, source_id, kept_from, data } = piece;
    [(*domain_id).into(), (*hour).into(), (*source_id).into(), (*kept_from).into(), data[..].into()]
}

#[async_trait]
impl TopUrlsRepository for Transaction {
    async fn insert(&mut self, pieces: &[TopUrlsPiece]) -> StorageResult<()> {
        let values: Vec<_> = pieces.iter().flat_map(row_values).collect();
        self.connection.execute_rows(INSERT, "", 5, &values).await.map(|_| ())
    }

    async fn of_hours(
        &mut self,
        domain_id: DomainId,
        hours: RangeInclusive<Hour>,
    ) -> StorageResult<Vec<TopUrlsPiece>> {
        self.connection.all(OF_HOURS, values![domain_id, *hours.start(), *hours.end()]).await
    }

    async fn crowded(&mut self, pieces: i64, count: i64) -> StorageResult<Vec<TopUrlsKey>> {
        let found: Vec<(DomainId, Hour, LogSourceId)> =
            self.connection.all(CROWDED, values![pieces, count]).await?;
        let key = |(domain_id, hour, source_id)| TopUrlsKey { domain_id, hour, source_id };
        Ok(found.into_iter().map(key).collect())
    }

    async fn take(&mut self, key: TopUrlsKey) -> StorageResult<Vec<TopUrlsPiece>> {
        let TopUrlsKey { domain_id, hour, source_id } = key;
        let taken = self.connection.all(OF_KEY, values![domain_id, hour, source_id]).await?;
        self.connection.execute(DELETE_KEY, values![domain_id, hour, source_id]).await?;
        Ok(taken)
    }

    async fn settle(&mut self) -> StorageResult<u64> {
        self.connection.execute(SETTLE, values![]).await
    }

    async fn delete_source(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        self.connection.execute(DELETE_SOURCE, values![source_id]).await
    }

    async fn prune(&mut self, before: Day, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
