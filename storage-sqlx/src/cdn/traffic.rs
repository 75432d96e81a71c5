//! Traffic.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{Block, Bucket, Cell, Day, DomainId, Figures, Part, TrafficRepository};
use pilothouse_core::ports::StorageResult;
use sqlx::FromRow;

use crate::database::{of_ids, saturating_sum};
use crate::storage::Transaction;
use crate::value::{Value, values};

const ADD: &str = "INSERT INTO traffic_open \
     (domain_id, bucket, flux, requests, hits, class_2, class_3, class_4, class_5)";
const ADD_TO: &str = concat!(
    "ON CONFLICT (domain_id, bucket) DO UPDATE SET flux = ",
    saturating_sum!("traffic_open", "flux"),
    ", requests = traffic_open.requests + excluded.requests, hits = traffic_open.hits + excluded.hits, \
     class_2 = traffic_open.class_2 + excluded.class_2, class_3 = traffic_open.class_3 + excluded.class_3, \
     class_4 = traffic_open.class_4 + excluded.class_4, class_5 = traffic_open.class_5 + excluded.class_5"
);
const OPEN: [&str; 2] = of_ids!(
    "SELECT * FROM traffic_open WHERE domain_id",
    "AND bucket BETWEEN $2 AND $3 ORDER BY domain_id, bucket"
);
const TAKE: &str = "DELETE FROM traffic_open WHERE domain_id = $1 AND bucket BETWEEN $2 AND $3 RETURNING *";
const UNSEALED: &str = "SELECT DISTINCT domain_id, bucket / 288 FROM traffic_open WHERE bucket < $1 LIMIT $2";
const BLOCKS: [&str; 2] = of_ids!(
    "SELECT domain_id, day, kept_from, data FROM traffic_block WHERE domain_id",
    "AND part = $2 AND day BETWEEN $3 AND $4 ORDER BY domain_id, day"
);
const PUT_BLOCK: &str = "INSERT INTO traffic_block (domain_id, part, day, kept_from, data) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (domain_id, part, day) \
     DO UPDATE SET kept_from = excluded.kept_from, data = excluded.data";
const PRUNE_BLOCKS: &str = "DELETE FROM traffic_block WHERE part = $1 AND kept_from < $2";

#[derive(FromRow)]
struct CellRow {
    domain_id: i64,
    bucket: i64,
    flux: i64,
    requests: i64,
    hits: i64,
    class_2: i64,
    class_3: i64,
    class_4: i64,
    class_5: i64,
}

impl From<CellRow> for Cell {
    fn from(row: CellRow) -> Self {
        let CellRow { domain_id, bucket, flux, requests, hits, .. } = row;
        let classes = [row.class_2, row.class_3, row.class_4, row.class_5];
        Self { domain_id, bucket, figures: Figures { flux, requests, hits, classes } }
    }
}

#[async_trait]
impl TrafficRepository for Transaction {
    async fn add(&mut self, cells: &[Cell]) -> StorageResult<()> {
        let row = |cell: &Cell| {
            let Figures { flux, requests, hits, classes: [c2, c3, c4, c5] } = cell.figures;
            [cell.domain_id, cell.bucket, flux, requests, hits, c2, c3, c4, c5]
        };
        let values: Vec<_> = cells.iter().flat_map(row).map(Value::from).collect();
        self.connection.insert_many(ADD, ADD_TO, 9, &values).await.map(|_| ())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        let values = values![self.connection.list(domains), *buckets.start(), *buckets.end()];
        let rows = self.connection.all::<CellRow>(self.connection.either(OPEN), values).await?;
        Ok(rows.into_iter().map(Cell::from).collect())
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        let values = values![domain_id, *buckets.start(), *buckets.end()];
        let rows = self.connection.all::<CellRow>(TAKE, values).await?;
        let mut cells: Vec<_> = rows.into_iter().map(Cell::from).collect();
        cells.sort_unstable_by_key(|cell| cell.bucket);
        Ok(cells)
    }

    async fn unsealed(&mut self, end: Bucket, limit: i64) -> StorageResult<Vec<(DomainId, Day)>> {
        self.connection.all(UNSEALED, values![end, limit]).await
    }

    async fn blocks(
        &mut self,
        part: Part,
        domains: &[DomainId],
        days: RangeInclusive<Day>,
    ) -> StorageResult<Vec<Block>> {
        let values = values![self.connection.list(domains), part.id(), *days.start(), *days.end()];
        let rows: Vec<(i64, i64, i64, Vec<u8>)> =
            self.connection.all(self.connection.either(BLOCKS), values).await?;
        let block = |(domain_id, day, kept_from, data)| Block { domain_id, day, kept_from, data };
        Ok(rows.into_iter().map(block).collect())
    }

    async fn put_block(&mut self, part: Part, block: &Block) -> StorageResult<()> {
        let Block { domain_id, day, kept_from, data } = block;
        let values = values![*domain_id, part.id(), *day, *kept_from, &data[..]];
        self.connection.execute(PUT_BLOCK, values).await.map(|_| ())
    }

    async fn prune_blocks(&mut self, part: Part, before: Day) -> StorageResult<u64> {
        self.connection.execute(PRUNE_BLOCKS, values![part.id(), before]).await
    }
}
