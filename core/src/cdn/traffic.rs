//! Traffic: bytes and requests of a domain in buckets of five minutes.
//!
//! A bucket is the number of whole five minutes since 1970, a day 288 of them (UTC). Buckets are *open*, a small row
//! each, until their day is over; then they are *sealed* into one block per domain, day and [`Part`]. What arrives
//! later is open again until it is sealed into the same block, so a figure is always the sealed and the open together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::block::{self, BUCKETS, Column};
use super::{Customer, Domain, DomainId, domain_name};
use crate::account::Caller;
use crate::ports::{Repositories, StorageError, StorageResult};
use crate::{Error, Pilothouse, Result};

/// The length of a bucket in seconds.
pub const BUCKET_SECONDS: i64 = 300;
/// The buckets of a day.
pub const BUCKETS_OF_DAY: i64 = 288;
/// The longest range of a series.
const MAX_DAYS: i64 = 400;

/// The number of a bucket: unix seconds by 300, rounded down.
pub type Bucket = i64;
/// A day: its number since 1970, UTC.
pub type Day = i64;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes sent.
    pub flux: i64,
    /// Billed requests.
    pub requests: i64,
    /// Of these, answered from the cache.
    pub hits: i64,
    /// Answers by class: 2xx, 3xx, 4xx, 5xx.
    pub classes: [i64; 4],
}

impl Figures {
    /// The requests and what follows, in one order.
    fn counts(self) -> [i64; 6] {
        let [c2, c3, c4, c5] = self.classes;
        [self.requests, self.hits, c2, c3, c4, c5]
    }

    /// Adds; what does not fit stays at the greatest number, so that an absurd log cannot stop the others.
    pub fn add(&mut self, other: Self) {
        self.flux = self.flux.saturating_add(other.flux);
        self.requests = self.requests.saturating_add(other.requests);
        self.hits = self.hits.saturating_add(other.hits);
        for (class, other) in self.classes.iter_mut().zip(other.classes) {
            *class = class.saturating_add(other);
        }
    }
}

/// The figures of one domain in one bucket; a change to them where it is recorded, so they may be negative there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Whose.
    pub domain_id: DomainId,
    /// When.
    pub bucket: Bucket,
    /// How much.
    pub figures: Figures,
}

/// What a sealed block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The bytes.
    Flux,
    /// Requests, hits and classes.
    Counts,
    /// The bytes by city.
    Cities,
}

impl Part {
    /// As a number for a store.
    pub fn id(self) -> i64 {
        match self {
            Self::Flux => 0,
            Self::Counts => 1,
            Self::Cities => 2,
        }
    }
}

/// A sealed day of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whose.
    pub domain_id: DomainId,
    /// When.
    pub day: Day,
    /// The day its retention counts from: its own, or the one it was last written on where that is later, so that
    /// history read in today is not forgotten tomorrow.
    pub kept_from: Day,
    /// The figures, in an encoding of the domain's own.
    pub data: Vec<u8>,
}

/// Traffic in a store. Every write happens under [`crate::ports::LockKey::Traffic`].
#[async_trait]
pub trait TrafficRepository: Send {
    /// Adds to open buckets, each of which occurs once. A sum that does not fit in 63 bits stays at the greatest number.
    async fn add(&mut self, cells: &[Cell]) -> StorageResult<()>;
    /// The open buckets of some domains, by domain and bucket.
    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>>;
    /// Removes the open buckets of a domain and returns them, by bucket.
    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>>;
    /// Domains and days that have open buckets before `end`, at most `limit` of them.
    async fn unsealed(&mut self, end: Bucket, limit: i64) -> StorageResult<Vec<(DomainId, Day)>>;
    /// The blocks of some domains, by domain and day.
    async fn blocks(
        &mut self,
        part: Part,
        domains: &[DomainId],
        days: RangeInclusive<Day>,
    ) -> StorageResult<Vec<Block>>;
    /// Adds a block, or replaces the one of that part, domain and day.
    async fn put_block(&mut self, part: Part, block: &Block) -> StorageResult<()>;
    /// Removes the blocks of a part that are kept from before a day; how many.
    async fn prune_blocks(&mut self, part: Part, before: Day) -> StorageResult<u64>;
}

/// One value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When its bucket begins, in unix seconds.
    pub time_stamp: i64,
    /// Bytes, or bits per second.
    pub value: i64,
}

/// What a series is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficQuery {
    /// Names of domains; none are all the caller's.
    pub domains: Vec<String>,
    /// Unix seconds; rounded down to its bucket, which is included.
    pub start_time: i64,
    /// Unix seconds; rounded down to its bucket, which is included.
    pub end_time: i64,
}

impl TrafficQuery {
    /// The buckets asked for. Refuses negative times, an end before the start, and more than `days` days between them.
    fn buckets(&self, days: i64) -> Result<RangeInclusive<Bucket>> {
        for (field, time) in [("startTime", self.start_time), ("endTime", self.end_time)] {
            if time < 0 {
                return Err(Error::invalid(field, "must not be negative"));
            }
        }
        if self.end_time < self.start_time {
            return Err(Error::invalid("endTime", "must not be before startTime"));
        }
        if self.end_time - self.start_time > days * 86_400 {
            return Err(Error::invalid("endTime", format!("must be at most {days} days after startTime")));
        }
        Ok(self.start_time / BUCKET_SECONDS..=self.end_time / BUCKET_SECONDS)
    }
}

/// The use cases of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a>(pub(crate) &'a Pilothouse);

impl Traffic<'_> {
    /// Bytes per bucket, several domains added up, 0 where there was nothing. At most 400 days.
    ///
    /// Refuses a domain that the caller does not hold, whether or not it exists.
    pub async fn fluxs(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<Point>> {
        let mut snapshot = self.0.storage().read().await?;
        let (domains, buckets) = self.asked(&mut *snapshot, caller, query, MAX_DAYS).await?;
        let sums = flux_sums(&mut *snapshot, &ids(&domains), buckets.clone()).await?;
        let point = |(bucket, value)| Point { time_stamp: bucket * BUCKET_SECONDS, value };
        Ok(buckets.zip(sums).map(point).collect())
    }

    /// The same as bits per second: [`bandwidth`] of each value.
    pub async fn bandwidths(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<Point>> {
        let mut points = self.fluxs(caller, query).await?;
        for point in &mut points {
            point.value = bandwidth(point.value);
        }
        Ok(points)
    }

    /// All figures per bucket, as [`Traffic::fluxs`] does for the bytes; with the second each bucket begins at.
    pub async fn stats(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<(i64, Figures)>> {
        let mut snapshot = self.0.storage().read().await?;
        let (domains, buckets) = self.asked(&mut *snapshot, caller, query, MAX_DAYS).await?;
        let domains = ids(&domains);
        let fluxs = flux_sums(&mut *snapshot, &domains, buckets.clone()).await?;
        let counts = count_sums(&mut *snapshot, &domains, buckets.clone()).await?;
        let all = buckets.zip(fluxs).zip(counts);
        Ok(all
            .map(|((bucket, flux), [requests, hits, c2, c3, c4, c5])| {
                let classes = [c2, c3, c4, c5];
                (bucket * BUCKET_SECONDS, Figures { flux, requests, hits, classes })
            })
            .collect())
    }

    /// The domains and buckets of a query of at most `days` days.
    pub(super) async fn asked(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        query: &TrafficQuery,
        days: i64,
    ) -> Result<(Vec<Domain>, RangeInclusive<Bucket>)> {
        let customer = self.0.customer_of(repositories, caller, None).await?;
        let buckets = query.buckets(days)?;
        let mut names = Vec::new();
        for name in &query.domains {
            names.push(domain_name("domain", name)?);
        }
        Ok((self.domains(repositories, caller, &customer, &names).await?, buckets))
    }

    /// A customer's domains of these names, on all its cdns; all it has where no name is given. Refuses a name that is
    /// none of them.
    pub(super) async fn domains(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        customer: &Customer,
        names: &[String],
    ) -> Result<Vec<Domain>> {
        let mut domains = repositories.domains().of_account(customer.account_id, None).await?;
        if names.is_empty() {
            return Ok(domains);
        }
        if !names.iter().all(|name| domains.iter().any(|domain| domain.name == *name)) {
            return Err(self.0.refuse(caller, "a domain"));
        }
        domains.retain(|domain| names.contains(&domain.name));
        Ok(domains)
    }
}

pub(super) fn ids(domains: &[Domain]) -> Vec<DomainId> {
    domains.iter().map(|domain| domain.id).collect()
}

/// Bits per second of the bytes of a bucket: eight times as many by 300 seconds, halves rounded up.
pub fn bandwidth(flux: i64) -> i64 {
    let rounded = (i128::from(flux) * 8 + 150).div_euclid(300);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

pub(super) fn day_of(bucket: Bucket) -> Day {
    bucket.div_euclid(BUCKETS_OF_DAY)
}

pub(super) fn buckets_of(day: Day) -> RangeInclusive<Bucket> {
    day * BUCKETS_OF_DAY..=day * BUCKETS_OF_DAY + (BUCKETS_OF_DAY - 1)
}

/// The place of a bucket in its day's columns.
pub(super) fn slot(bucket: Bucket) -> usize {
    usize::try_from(bucket.rem_euclid(BUCKETS_OF_DAY)).unwrap_or_default()
}

/// The bytes of some domains together, by bucket.
pub(super) async fn flux_sums(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
) -> Result<Vec<i64>> {
    let sums = sums(repositories, domains, buckets, Part::Flux, |figures| [figures.flux]).await?;
    Ok(sums.into_iter().map(|[flux]| flux).collect())
}

async fn count_sums(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
) -> Result<Vec<[i64; 6]>> {
    sums(repositories, domains, buckets, Part::Counts, Figures::counts).await
}

async fn sums<const N: usize>(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
    part: Part,
    figures: fn(Figures) -> [i64; N],
) -> Result<Vec<[i64; N]>> {
    let (first, last) = (*buckets.start(), *buckets.end());
    let place = |bucket: Bucket| usize::try_from(bucket - first).unwrap_or_default();
    let mut sums = vec![[0_i64; N]; place(last) + 1];
    let mut add = |bucket: Bucket, values: [i64; N]| {
        for (sum, value) in sums[place(bucket)].iter_mut().zip(values) {
            *sum = sum.saturating_add(value);
        }
    };
    for block in repositories.traffic().blocks(part, domains, day_of(first)..=day_of(last)).await? {
        let columns = columns::<N>(&block)?;
        let days = buckets_of(block.day);
        for bucket in first.max(*days.start())..=last.min(*days.end()) {
            add(bucket, std::array::from_fn(|n| columns[n][slot(bucket)]));
        }
    }
    for cell in repositories.traffic().open(domains, buckets).await? {
        add(cell.bucket, figures(cell.figures));
    }
    Ok(sums)
}

fn columns<const N: usize>(block: &Block) -> StorageResult<[Column; N]> {
    block::decode_columns(&block.data).ok_or(StorageError::Corrupt { what: "traffic block" })
}

/// Adds open buckets of one domain and day to its blocks.
pub(super) async fn seal(
    repository: &mut dyn TrafficRepository,
    domain_id: DomainId,
    day: Day,
    today: Day,
    cells: &[Cell],
) -> StorageResult<()> {
    let mut figures = BTreeMap::<usize, Figures>::new();
    for cell in cells {
        figures.entry(slot(cell.bucket)).or_default().add(cell.figures);
    }
    merge(repository, domain_id, (day, today), Part::Flux, &figures, |figures| [figures.flux]).await?;
    merge(repository, domain_id, (day, today), Part::Counts, &figures, Figures::counts).await
}

async fn merge<const N: usize>(
    repository: &mut dyn TrafficRepository,
    domain_id: DomainId,
    (day, today): (Day, Day),
    part: Part,
    figures: &BTreeMap<usize, Figures>,
    values: fn(Figures) -> [i64; N],
) -> StorageResult<()> {
    let mut columns = match repository.blocks(part, &[domain_id], day..=day).await?.first() {
        Some(block) => columns::<N>(block)?,
        None => [[0; BUCKETS]; N],
    };
    for (&slot, &figures) in figures {
        for (column, value) in columns.iter_mut().zip(values(figures)) {
            column[slot] = column[slot].saturating_add(value);
        }
    }
    let data = block::encode_columns(&columns);
    repository.put_block(part, &Block { domain_id, day, kept_from: day.max(today), data }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_fluxs_give_its_bandwidths() {
        let documented = [
            (150_995, 4027),
            (92_393_177, 2_463_818),
            (188_744, 5033),
            (9437, 252),
            (0, 0),
            (692_966_130, 18_479_097),
            (69_328_699, 1_848_765),
        ];
        for (flux, expected) in documented {
            assert_eq!(bandwidth(flux), expected, "of {flux} bytes");
        }
    }

    #[test]
    fn bandwidths_are_rounded_and_never_overflow() {
        assert_eq!((bandwidth(18), bandwidth(19)), (0, 1));
        assert_eq!((bandwidth(56), bandwidth(57), bandwidth(75)), (1, 2, 2));
        assert_eq!(bandwidth(i64::MAX), 245_956_587_649_460_688);
    }

    #[test]
    fn ranges_are_rounded_down_and_limited() {
        let query = |start_time, end_time| TrafficQuery { domains: Vec::new(), start_time, end_time };
        assert_eq!(query(299, 300).buckets(400).unwrap(), 0..=1);
        assert_eq!(query(300, 300).buckets(400).unwrap(), 1..=1);
        assert!(query(0, 400 * 86_400).buckets(400).is_ok());
        for (start, end, field) in [
            (-1, 5, "startTime"),
            (0, -1, "endTime"),
            (600, 599, "endTime"),
            (0, 400 * 86_400 + 1, "endTime"),
        ] {
            let refused = query(start, end).buckets(400).unwrap_err();
            assert!(refused.to_string().starts_with(field), "{refused}");
        }
        assert!(query(0, i64::MAX).buckets(400).is_err());
    }
}
