//! City repository: the tables `city` and `city_open`.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{Bucket, City, CityCell, CityId, CityRepository, DomainId};
use pilothouse_core::ports::StorageResult;

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, saturating_sum, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

const ADD_TO: &str = concat!(
    "ON CONFLICT (domain_id, bucket, city_id) DO UPDATE SET flux = ",
    saturating_sum!("city_open", "flux")
);

statements! {
    OF_NUMBERS: pair = of_ids!("SELECT * FROM city WHERE geoname_id", "ORDER BY id");
    BY_IDS: pair = of_ids!("SELECT * FROM city WHERE id", "ORDER BY id");
    INSERT = "INSERT INTO city (geoname_id, name, name_cn) VALUES ($1, $2, $3) RETURNING id";
    RENAME = "UPDATE city SET name = $2, name_cn = $3 WHERE id = $1";
    ADD = "INSERT INTO city_open (domain_id, bucket, city_id, flux)";
    OPEN: pair = of_ids!(
        "SELECT * FROM city_open WHERE domain_id",
        "AND bucket BETWEEN $2 AND $3 ORDER BY domain_id, bucket, city_id"
    );
    TAKE = "DELETE FROM city_open WHERE domain_id = $1 AND bucket BETWEEN $2 AND $3 RETURNING *";
}

impl FromRow for (CityId, City) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let city =
            City { geoname_id: row.get("geoname_id")?, name: row.get("name")?, name_cn: row.get("name_cn")? };
        Ok((row.get("id")?, city))
    }
}

impl FromRow for CityCell {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            domain_id: row.get("domain_id")?,
            bucket: row.get("bucket")?,
            city_id: row.get("city_id")?,
            flux: row.get("flux")?,
        })
    }
}

/// Identity of a city: its number, or where it has none its names.
fn identity(city: &City) -> (i64, Option<(&str, &str)>) {
    (city.geoname_id, (city.geoname_id == 0).then_some((&city.name, &city.name_cn)))
}

#[async_trait]
impl CityRepository for Transaction {
    async fn intern(&mut self, cities: &[City]) -> StorageResult<Vec<CityId>> {
        let numbers: Vec<_> = cities.iter().map(|city| city.geoname_id).collect();
        let held: Vec<(CityId, City)> = self.connection.all(OF_NUMBERS, values![ids(&numbers)]).await?;
        let mut known: HashMap<_, _> = held.iter().map(|(id, city)| (identity(city), (*id, city))).collect();
        let mut interned = Vec::new();
        for city in cities {
            let City { geoname_id, name, name_cn } = city;
            let id = match known.get(&identity(city)) {
                Some((id, held)) if *held == city => *id,
                Some((id, _)) => {
                    self.connection.execute(RENAME, values![*id, name, name_cn]).await?;
                    *id
                }
                None => self.connection.one(INSERT, values![*geoname_id, name, name_cn]).await?,
            };
            known.insert(identity(city), (id, city));
            interned.push(id);
        }
        Ok(interned)
    }

    async fn by_ids(&mut self, cities: &[CityId]) -> StorageResult<Vec<(CityId, City)>> {
        self.connection.all(BY_IDS, values![ids(cities)]).await
    }

    async fn add(&mut self, cells: &[CityCell]) -> StorageResult<()> {
        let row = |cell: &CityCell| [cell.domain_id.0, cell.bucket, cell.city_id.0, cell.flux];
        let values: Vec<_> = cells.iter().flat_map(row).map(Value::from).collect();
        self.connection.execute_rows(ADD, ADD_TO, 4, &values).await.map(|_| ())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        self.connection.all(OPEN, values![ids(domains), *buckets.start(), *buckets.end()]).await
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>> {
        let values = values![domain_id, *buckets.start(), *buckets.end()];
        let mut cells: Vec<CityCell> = self.connection.all(TAKE, values).await?;
        cells.sort_unstable_by_key(|cell| (cell.bucket, cell.city_id));
        Ok(cells)
    }
}
