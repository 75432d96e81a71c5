//! Traffic repository: open buckets in `traffic_open`, sealed days in `traffic_block`.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{Block, BlockKind, Bucket, Cell, Day, DomainId, Figures, TrafficRepository};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, saturating_sum, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

const ADD_TO: &str = concat!(
    "ON CONFLICT (domain_id, bucket) DO UPDATE SET flux = ",
    saturating_sum!("traffic_open", "flux"),
    ", hit_flux = ",
    saturating_sum!("traffic_open", "hit_flux"),
    ", requests = traffic_open.requests + excluded.requests, hits = traffic_open.hits + excluded.hits, \
     class_2 = traffic_open.class_2 + excluded.class_2, class_3 = traffic_open.class_3 + excluded.class_3, \
     class_4 = traffic_open.class_4 + excluded.class_4, class_5 = traffic_open.class_5 + excluded.class_5"
);

statements! {
    ADD = "INSERT INTO traffic_open \
         (domain_id, bucket, flux, hit_flux, requests, hits, class_2, class_3, class_4, class_5)";
    OPEN: pair = of_ids!(
        "SELECT * FROM traffic_open WHERE domain_id",
        "AND bucket BETWEEN $2 AND $3 ORDER BY domain_id, bucket"
    );
    TAKE = "DELETE FROM traffic_open WHERE domain_id = $1 AND bucket BETWEEN $2 AND $3 RETURNING *";
    UNSEALED = "SELECT DISTINCT domain_id, bucket / 288 FROM traffic_open WHERE bucket < $1 LIMIT $2";
    BLOCKS: pair = of_ids!(
        "SELECT domain_id, day, kept_from, data FROM traffic_block WHERE domain_id",
        "AND part = $2 AND day BETWEEN $3 AND $4 ORDER BY domain_id, day"
    );
    PUT_BLOCK = "INSERT INTO traffic_block (domain_id, part, day, kept_from, data) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (domain_id, part, day) \
         DO UPDATE SET kept_from = excluded.kept_from, data = excluded.data";
    PRUNE_BLOCKS = "DELETE FROM traffic_block WHERE part = $1 AND (domain_id, day) IN (\
         SELECT domain_id, day FROM traffic_block WHERE part = $1 AND kept_from < $2 \
         ORDER BY day, domain_id LIMIT $3)";
}

impl FromRow for Cell {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let figures = Figures {
            flux: row.get("flux")?,
            hit_flux: row.get("hit_flux")?,
            requests: row.get("requests")?,
            hits: row.get("hits")?,
            classes: [row.get("class_2")?, row.get("class_3")?, row.get("class_4")?, row.get("class_5")?],
        };
        Ok(Self { domain_id: row.get("domain_id")?, bucket: row.get("bucket")?, figures })
    }
}

impl FromRow for Block {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            domain_id: row.get("domain_id")?,
            day: row.get("day")?,
            kept_from: row.get("kept_from")?,
            data: row.get("data")?,
        })
    }
}

#[async_trait]
impl TrafficRepository for Transaction {
    async fn add(&mut self, cells: &[Cell]) -> StorageResult<()> {
        let row = |cell: &Cell| {
            let Figures { flux, hit_flux, requests, hits, classes: [c2, c3, c4, c5] } = cell.figures;
            [cell.domain_id.0, cell.bucket, flux, hit_flux, requests, hits, c2, c3, c4, c5]
        };
        let values: Vec<_> = cells.iter().flat_map(row).map(Value::from).collect();
        self.connection.execute_rows(ADD, ADD_TO, 10, &values).await.map(|_| ())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        self.connection.all(OPEN, values![ids(domains), *buckets.start(), *buckets.end()]).await
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        let values = values![domain_id, *buckets.start(), *buckets.end()];
        let mut cells: Vec<Cell> = self.connection.all(TAKE, values).await?;
        cells.sort_unstable_by_key(|cell| cell.bucket);
        Ok(cells)
    }

    async fn unsealed(&mut self, end: Bucket, limit: i64) -> StorageResult<Vec<(DomainId, Day)>> {
        self.connection.all(UNSEALED, values![end, limit]).await
    }

    async fn blocks(
        &mut self,
        part: BlockKind,
        domains: &[DomainId],
        days: RangeInclusive<Day>,
    ) -> StorageResult<Vec<Block>> {
        let values = values![ids(domains), part.id(), *days.start(), *days.end()];
        self.connection.all(BLOCKS, values).await
    }

    async fn put_block(&mut self, part: BlockKind, block: &Block) -> StorageResult<()> {
        let Block { domain_id, day, kept_from, data } = block;
        let values = values![*domain_id, part.id(), *day, *kept_from, &data[..]];
        self.connection.execute(PUT_BLOCK, values).await.map(|_| ())
    }

    async fn prune_blocks(&mut self, part: BlockKind, before: Day, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE_BLOCKS, values![part.id(), before, count]).await
    }
}
