//! Traffic: bytes and requests of a domain in buckets of five minutes.
//!
//! A bucket is the number of whole five minutes since 1970, a day 288 of them (UTC). Buckets are *open*, a small row
//! each, until their day is over; then they are *sealed* into one block per domain, day and [`BlockKind`]. What arrives
//! later is open again until it is sealed into the same block, so a figure is always the sealed and the open together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::bucket::{BUCKET_SECONDS, Bucket, Cell, Day, Figures, bandwidth, buckets_of, day_of, slot};
use super::column_block::{self, BUCKETS};
use super::figure_scan::{Window, columns, columns_or_fewer, windows};
use crate::account::Caller;
use crate::cdn::customers::{Domain, domain_name, ids};
use crate::cdn::identifier::DomainId;
use crate::ports::{Repositories, StorageResult};
use crate::{Error, Pilothouse, Result};

/// The longest range of a series.
pub(super) const MAX_DAYS: i64 = 400;

/// Kind of a sealed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// Bytes by bucket.
    Flux,
    /// Requests, hits, classes and bytes of hits.
    Counts,
    /// The bytes by city.
    Cities,
}

impl BlockKind {
    /// Number that stores keep.
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
    /// Domain whose traffic it is.
    pub domain_id: DomainId,
    /// Day of the traffic, UTC.
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
        part: BlockKind,
        domains: &[DomainId],
        days: RangeInclusive<Day>,
    ) -> StorageResult<Vec<Block>>;
    /// Adds a block, or replaces the one of that part, domain and day.
    async fn put_block(&mut self, part: BlockKind, block: &Block) -> StorageResult<()>;
    /// Removes the first `count` blocks of a part, by day and domain, that are kept from before a day; how many.
    async fn prune_blocks(&mut self, part: BlockKind, before: Day, count: i64) -> StorageResult<u64>;
}

/// One value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Beginning of its bucket in unix seconds.
    pub time_stamp: i64,
    /// Bytes, or bits per second.
    pub value: i64,
}

/// Query of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficQuery {
    /// Mail of the customer that is asked about, for which a caller other than itself needs group 8; the caller itself where
    /// there is none.
    pub login_email: Option<String>,
    /// Names of domains; none are all the customer's.
    pub domains: Vec<String>,
    /// Unix seconds; rounded down to its bucket, which is included.
    pub start_time: i64,
    /// Unix seconds; rounded down to its bucket, which is included.
    pub end_time: i64,
}

impl TrafficQuery {
    /// The buckets asked for. Refuses negative times, an end before the start, and more than `days` days between them.
    pub(super) fn buckets(&self, days: i64) -> Result<RangeInclusive<Bucket>> {
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
    /// Refuses a domain that the customer does not hold, whether or not it exists.
    pub async fn fluxs(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<Point>> {
        let mut snapshot = self.0.storage().read().await?;
        let (domains, buckets) = self.asked(&mut *snapshot, caller, query, MAX_DAYS).await?;
        let sums = flux_sums(&mut *snapshot, &ids(&domains), buckets.clone()).await?;
        let point = |(bucket, value)| Point { time_stamp: bucket * BUCKET_SECONDS, value };
        Ok(buckets.zip(sums).map(point).collect())
    }

    /// The same series in bits per second: the bytes of each bucket times eight, by its 300 seconds, rounded.
    pub async fn bandwidths(&self, caller: &Caller, query: &TrafficQuery) -> Result<Vec<Point>> {
        let mut points = self.fluxs(caller, query).await?;
        for point in &mut points {
            point.value = bandwidth(point.value);
        }
        Ok(points)
    }

    /// The domains and buckets of a query of at most `days` days.
    pub(super) async fn asked(
        &self,
        repositories: &mut dyn Repositories,
        caller: &Caller,
        query: &TrafficQuery,
        days: i64,
    ) -> Result<(Vec<Domain>, RangeInclusive<Bucket>)> {
        let customer = self.0.customer_of(repositories, caller, query.login_email.as_deref()).await?;
        let buckets = query.buckets(days)?;
        let mut names = Vec::new();
        for name in &query.domains {
            names.push(domain_name("domain", name)?);
        }
        let since = buckets.start() * BUCKET_SECONDS;
        let domains = self.0.owned_domains_since(repositories, caller, &customer, &names, since).await?;
        Ok((domains, buckets))
    }
}

/// The bytes of some domains together, by bucket.
pub(super) async fn flux_sums(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
) -> Result<Vec<i64>> {
    let (first, last) = (*buckets.start(), *buckets.end());
    let place = |bucket: Bucket| usize::try_from(bucket - first).unwrap_or_default();
    let mut sums = vec![0_i64; place(last) + 1];
    for Window { domains, buckets } in windows(domains, buckets) {
        let days = day_of(*buckets.start())..=day_of(*buckets.end());
        for block in repositories.traffic().blocks(BlockKind::Flux, domains, days).await? {
            let [column] = columns::<1>(&block)?;
            let day = buckets_of(block.day);
            for bucket in (*buckets.start()).max(*day.start())..=(*buckets.end()).min(*day.end()) {
                let sum = &mut sums[place(bucket)];
                *sum = sum.saturating_add(column[slot(bucket)]);
            }
        }
        for cell in repositories.traffic().open(domains, buckets).await? {
            let sum = &mut sums[place(cell.bucket)];
            *sum = sum.saturating_add(cell.figures.flux);
        }
    }
    Ok(sums)
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
    merge(repository, domain_id, (day, today), BlockKind::Flux, &figures, |figures| [figures.flux]).await?;
    merge(repository, domain_id, (day, today), BlockKind::Counts, &figures, Figures::counts).await
}

async fn merge<const N: usize>(
    repository: &mut dyn TrafficRepository,
    domain_id: DomainId,
    (day, today): (Day, Day),
    part: BlockKind,
    figures: &BTreeMap<usize, Figures>,
    values: fn(Figures) -> [i64; N],
) -> StorageResult<()> {
    let blocks = repository.blocks(part, &[domain_id], day..=day).await?;
    // Columns are large, and nothing is awaited while they are there.
    let data = {
        let mut columns = match blocks.first() {
            Some(block) => columns_or_fewer::<N>(block)?,
            None => [[0; BUCKETS]; N],
        };
        for (&slot, &figures) in figures {
            for (column, value) in columns.iter_mut().zip(values(figures)) {
                column[slot] = column[slot].saturating_add(value);
            }
        }
        column_block::encode_columns(&columns)
    };
    repository.put_block(part, &Block { domain_id, day, kept_from: day.max(today), data }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rounded_down_and_limited() {
        let query = |start_time, end_time| TrafficQuery { start_time, end_time, ..TrafficQuery::default() };
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
