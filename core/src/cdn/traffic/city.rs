//! Traffic by city, and the shares of areas computed from it.
//!
//! Only known cities are recorded. What their bytes leave of a domain's traffic went to addresses without a city, so
//! the rows of an area always add up to the total.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::bucket::{Bucket, Day, bandwidth, buckets_of, day_of, slot};
use super::column_block::{self, CityColumns};
use super::series::{Block, BlockKind, Traffic, TrafficQuery, TrafficRepository, flux_sums};
use crate::account::Caller;
use crate::cdn::customers::{Domain, ids};
use crate::cdn::identifier::DomainId;
use crate::id::id;
use crate::ports::{Repositories, StorageError, StorageResult};
use crate::{Error, Result, check_text};

/// The longest range of areas and regions.
const MAX_DAYS: i64 = 31;
/// The most domains of areas and regions.
const MAX_DOMAINS: usize = 30;

id! {
    /// The id of a city.
    CityId
}

/// A city as a city database names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct City {
    /// Number at geonames.org, which stays when names are corrected; 0 where it has none.
    pub geoname_id: i64,
    /// English name: 1 to 256 bytes.
    pub name: String,
    /// Chinese name, or the English one: 1 to 256 bytes.
    pub name_cn: String,
}

impl City {
    /// Refuses names that are empty, longer than 256 bytes, or hold control characters.
    pub fn check(&self) -> Result<()> {
        check_text("city", &self.name, 1, 256, false)?;
        check_text("city_cn", &self.name_cn, 1, 256, false)
    }
}

/// Bytes of one domain to one city in one bucket; a change where it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CityCell {
    /// Domain whose traffic it is.
    pub domain_id: DomainId,
    /// Five minutes that the bytes are of.
    pub bucket: Bucket,
    /// City that the bytes were sent to.
    pub city_id: CityId,
    /// Bytes sent, or the change to them.
    pub flux: i64,
}

/// Cities and the bytes that went there, in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait CityRepository: Send {
    /// The ids of cities, in their order; those that are new are added. A city is the same by its number at
    /// geonames.org, then the names become those given, and where it has none by both names.
    async fn intern(&mut self, cities: &[City]) -> StorageResult<Vec<CityId>>;
    /// The cities of these ids, by id.
    async fn by_ids(&mut self, ids: &[CityId]) -> StorageResult<Vec<(CityId, City)>>;
    /// Adds to open buckets; domain, bucket and city occur once. A sum that does not fit stays at the greatest number.
    async fn add(&mut self, cells: &[CityCell]) -> StorageResult<()>;
    /// The open buckets of some domains, by domain, bucket and city.
    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>>;
    /// Removes the open buckets of a domain and returns them, by bucket and city.
    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<CityCell>>;
}

/// Traffic of a city over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaRow {
    /// English name; `Unknown` for addresses without a city.
    pub city: String,
    /// Chinese name, or the English one; `未知` for addresses without a city.
    pub city_cn: String,
    /// Bytes, or bits per second.
    pub value: i64,
}

/// The sum of a city's buckets and the highest of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) sum: i64,
    highest: i64,
}

/// Traffic of domains by city.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    /// Traffic of each city that has any.
    pub(super) cities: BTreeMap<CityId, Reach>,
    /// Traffic of addresses without a city.
    pub(super) unknown: Reach,
}

impl Reach {
    fn add(&mut self, flux: i64) {
        self.sum = self.sum.saturating_add(flux);
        self.highest = self.highest.max(flux);
    }
}

impl Traffic<'_> {
    /// Bytes per city over a range, largest first; several domains added up. At most 31 days and 30 domains.
    ///
    /// Unavailable without a city database. Refuses a domain that the caller does not hold, whether or not it exists.
    pub async fn fluxs_area(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<AreaRow>> {
        self.area(caller, query, |reach| reach.sum).await
    }

    /// The highest bandwidth of each city in a bucket of a range, of all domains together; as [`Traffic::fluxs_area`].
    pub async fn bandwidths_area(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<AreaRow>> {
        self.area(caller, query, |reach| bandwidth(reach.highest)).await
    }

    async fn area(
        &self,
        caller: &Caller,
        query: &TrafficQuery,
        value: fn(&Reach) -> i64,
    ) -> Result<Vec<AreaRow>> {
        let mut snapshot = self.0.storage().read().await?;
        let (domains, buckets) = self.asked_areas(&mut *snapshot, caller, query).await?;
        if !self.0.settings().geo_city_database {
            return Err(Error::Unavailable("no city database is set up (geo_city_database)".to_owned()));
        }
        let Reaches { cities, unknown } = reaches(&mut *snapshot, &ids(&domains), buckets).await?;
        let known: Vec<_> = cities.keys().copied().collect();
        let named = snapshot.cities().by_ids(&known).await?;
        let mut rows: Vec<_> = named
            .into_iter()
            .filter_map(|(id, city)| {
                let City { name: city, name_cn: city_cn, .. } = city;
                Some(AreaRow { city, city_cn, value: value(cities.get(&id)?) })
            })
            .collect();
        rows.push(AreaRow {
            city: "Unknown".to_owned(), city_cn: "未知".to_owned(), value: value(&unknown)
        });
        rows.retain(|row| row.value > 0);
        rows.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.city.cmp(&b.city)));
        Ok(rows)
    }

    /// The domains and buckets of a query by area: at most 31 days and 30 domains.
    pub(super) async fn asked_areas(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        query: &TrafficQuery,
    ) -> Result<(Vec<Domain>, RangeInclusive<Bucket>)> {
        let (domains, buckets) = self.asked(repositories, caller, query, MAX_DAYS).await?;
        let asked: HashSet<_> = domains.iter().map(|domain| &domain.name).collect();
        if asked.len() > MAX_DOMAINS {
            let reason = format!("must be at most {MAX_DOMAINS} domains, not {}", asked.len());
            return Err(Error::invalid("domain", reason));
        }
        Ok((domains, buckets))
    }
}

/// Traffic of each city, and of addresses without one. Day by day, so that no more than one is in memory.
pub(super) async fn reaches(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
) -> Result<Reaches> {
    let (first, last) = (*buckets.start(), *buckets.end());
    let mut totals = flux_sums(repositories, domains, buckets).await?.into_iter();
    let mut reaches = Reaches::default();
    for day in (day_of(first).0..=day_of(last).0).map(Day) {
        let whole = buckets_of(day);
        let part = first.max(*whole.start())..=last.min(*whole.end());
        let slots = slot(*part.start())..=slot(*part.end());
        let mut rest: BTreeMap<usize, i64> = slots.clone().zip(totals.by_ref()).collect();
        for (city, column) in city_columns(repositories, domains, day, part).await? {
            let reach = reaches.cities.entry(city).or_default();
            for (slot, &flux) in column.range(slots.clone()) {
                reach.add(flux);
                if let Some(rest) = rest.get_mut(slot) {
                    *rest = rest.saturating_sub(flux);
                }
            }
        }
        for rest in rest.into_values() {
            reaches.unknown.add(rest);
        }
    }
    Ok(reaches)
}

/// The bytes by city of some domains together, in buckets of one day.
async fn city_columns(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    day: Day,
    buckets: RangeInclusive<Bucket>,
) -> Result<CityColumns> {
    let mut sums = CityColumns::new();
    for block in repositories.traffic().blocks(BlockKind::Cities, domains, day..=day).await? {
        let columns = decode(&block)?;
        if sums.is_empty() {
            sums = columns;
            continue;
        }
        for (city, column) in columns {
            let sum = sums.entry(city).or_default();
            for (slot, flux) in column {
                add(sum.entry(slot).or_default(), flux);
            }
        }
    }
    for cell in repositories.cities().open(domains, buckets).await? {
        let sum = sums.entry(cell.city_id).or_default();
        add(sum.entry(slot(cell.bucket)).or_default(), cell.flux);
    }
    Ok(sums)
}

fn add(sum: &mut i64, flux: i64) {
    *sum = sum.saturating_add(flux);
}

fn decode(block: &Block) -> StorageResult<CityColumns> {
    column_block::decode_cities(&block.data).ok_or(StorageError::Corrupt { what: "city block" })
}

/// Adds open buckets of one domain and day to its block.
pub(super) async fn seal(
    repository: &mut dyn TrafficRepository,
    domain_id: DomainId,
    day: Day,
    today: Day,
    cells: &[CityCell],
) -> StorageResult<()> {
    if cells.is_empty() {
        return Ok(());
    }
    let mut columns = match repository.blocks(BlockKind::Cities, &[domain_id], day..=day).await?.first() {
        Some(block) => decode(block)?,
        None => CityColumns::new(),
    };
    for cell in cells {
        let sum = columns.entry(cell.city_id).or_default();
        add(sum.entry(slot(cell.bucket)).or_default(), cell.flux);
    }
    let data = column_block::encode_cities(&columns);
    repository.put_block(BlockKind::Cities, &Block { domain_id, day, kept_from: day.max(today), data }).await
}
