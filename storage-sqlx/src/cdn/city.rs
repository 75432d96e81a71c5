//! Cities and the traffic that went there.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{Bucket, City, CityCell, CityId, CityRepository, DomainId};
use pilothouse_core::ports::StorageResult;
use sqlx::FromRow;

use crate::database::{of_ids, saturating_sum};
use crate::storage::Transaction;
use crate::value::{Value, values};

const OF_NUMBERS: [&str; 2] = of_ids!("SELECT * FROM city WHERE geoname_id", "ORDER BY id");
const BY_IDS: [&str; 2] = of_ids!("SELECT * FROM city WHERE id", "ORDER BY id");
const INSERT: &str = "INSERT INTO city (geoname_id, name, name_cn) VALUES ($1, $2, $3) RETURNING id";
const RENAME: &str = "UPDATE city SET name = $2, name_cn = $3 WHERE id = $1";
const ADD: &str = "INSERT INTO city_open (domain_id, bucket, city_id, flux)";
const ADD_TO: &str = concat!(
    "ON CONFLICT (domain_id, bucket, city_id) DO UPDATE SET flux = ",
    saturating_sum!("city_open", "flux")
);
const OPEN: [&str; 2] = of_ids!(
    "SELECT * FROM city_open WHERE domain_id",
    "AND bucket BETWEEN $2 AND $3 ORDER BY domain_id, bucket, city_id"
);
const TAKE: &str = "DELETE FROM city_open WHERE domain_id = $1 AND bucket BETWEEN $2 AND $3 RETURNING *";

#[derive(FromRow)]
struct CityRow {
    id: i64,
    geoname_id: i64,
    name: String,
    name_cn: String,
}

impl From<CityRow> for (CityId, City) {
    fn from(CityRow { id, geoname_id, name, name_cn }: CityRow) -> Self {
        (id, City { geoname_id, name, name_cn })
    }
}

#[derive(FromRow)]
struct CellRow {
    domain_id: i64,
    bucket: i64,
    city_id: i64,
    flux: i64,
}

impl From<CellRow> for CityCell {
    fn from(CellRow { domain_id, bucket, city_id, flux }: CellRow) -> Self {
        Self { domain_id, bucket, city_id, flux }
    }
}

/// What makes a city the same: its number, or where it has none its names.
fn identity(city: &City) -> (i64, Option<(&str, &str)>) {
    (city.geoname_id, (city.geoname_id == 0).then_some((&city.name, &city.name_cn)))
}

#[async_trait]
impl CityRepository for Transaction {
    async fn intern(&mut self, cities: &[City]) -> StorageResult<Vec<CityId>> {
        let numbers: Vec<_> = cities.iter().map(|city| city.geoname_id).collect();
        let values = values![self.connection.list(&numbers)];
        let rows = self.connection.all::<CityRow>(self.connection.either(OF_NUMBERS), values).await?;
        let held: Vec<(CityId, City)> = rows.into_iter().map(CityRow::into).collect();
        let mut known: HashMap<_, _> = held.iter().map(|(id, city)| (identity(city), (*id, city))).collect();
        let mut ids = Vec::new();
        for city in cities {
            let City { geoname_id, name, name_cn } = city;
            let id = match known.get(&identity(city)) {
                Some((id, held)) if *held == city => *id,
                Some((id, _)) => {
                    self.connection.execute(RENAME, values![*id, name, name_cn]).await?;
                    *id
                }
                None => {
                    let (id,) = self.connection.one(INSERT, values![*geoname_id, name, name_cn]).await?;
                    id
                }
            };
            known.insert(identity(city), (id, city));
            ids.push(id);
        }
        Ok(ids)
    }

    async fn by_ids(&mut self, ids: &[CityId]) -> StorageResult<Vec<(CityId, City)>> {
        let values = values![self.connection.list(ids)];
        let rows = self.connection.all::<CityRow>(self.connection.either(BY_IDS), values).await?;
        Ok(rows.into_iter().map(CityRow::into).collect())
    }

    async fn add(&mut self, cells: &[CityCell]) -> StorageResult<()> {
        let row = |cell: &CityCell| [cell.domain_id, cell.bucket, cell.city_id, cell.flux];
        let values: Vec<_> = cells.iter().flat_map(row).map(Value::from).collect();
        self.connection.insert_many(ADD, ADD_TO, 4, &values).await.map(|_| ())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        let values = values![self.connection.list(domains), *buckets.start(), *buckets.end()];
        let rows = self.connection.all::<CellRow>(self.connection.either(OPEN), values).await?;
        Ok(rows.into_iter().map(CityCell::from).collect())
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        let values = values![domain_id, *buckets.start(), *buckets.end()];
        let rows = self.connection.all::<CellRow>(TAKE, values).await?;
        let mut cells: Vec<_> = rows.into_iter().map(CityCell::from).collect();
        cells.sort_unstable_by_key(|cell| (cell.bucket, cell.city_id));
        Ok(cells)
    }
}
