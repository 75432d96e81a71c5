//! Figures of other systems, as they are imported: sealed at once where their day is over.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::bucket::{BUCKET_SECONDS, Bucket, Cell, Day, bandwidth, buckets_of, day_of};
use super::retention::end_of_sealing;
use super::series::{flux_sums, seal};
use crate::Result;
use crate::cdn::identifier::DomainId;
use crate::ports::{Repositories, UnitOfWork};

/// The day of a bucket.
pub(crate) fn day_of_bucket(bucket: Bucket) -> Day {
    day_of(bucket)
}

/// Bits per second of the bytes of a bucket.
pub(crate) fn bandwidth_of(flux: i64) -> i64 {
    bandwidth(flux)
}

/// The bytes of a bucket of so many bits per second: [`bandwidth_of`] answers the same figure again.
pub(crate) fn flux_of_bandwidth(bandwidth: i64) -> i64 {
    let rounded = (i128::from(bandwidth) * 75 + 1).div_euclid(2);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// The bytes of a domain's day, by bucket; buckets without any are left out.
pub(crate) async fn fluxs_of_day(
    repositories: &mut dyn Repositories,
    domain_id: DomainId,
    day: Day,
) -> Result<BTreeMap<Bucket, i64>> {
    let buckets = buckets_of(day);
    let sums = flux_sums(repositories, &[domain_id], buckets.clone()).await?;
    Ok(buckets.zip(sums).filter(|(_, flux)| *flux != 0).collect())
}

/// Adds figures of a domain's day. The caller holds [`crate::ports::LockKey::Traffic`].
pub(crate) async fn add_day_of_figures(
    work: &mut dyn UnitOfWork,
    now: DateTime<Utc>,
    (domain_id, day): (DomainId, Day),
    cells: &[Cell],
) -> Result<()> {
    if cells.is_empty() {
        return Ok(());
    }
    if *buckets_of(day).start() < end_of_sealing(now) {
        let today = day_of(now.timestamp() / BUCKET_SECONDS);
        return Ok(seal(work.traffic(), domain_id, day, today, cells).await?);
    }
    Ok(work.traffic().add(cells).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bandwidth_comes_back() {
        for bandwidth in (0..5000).chain([2_463_818, 18_479_097, 999_999_999_999_999]) {
            assert_eq!(bandwidth_of(flux_of_bandwidth(bandwidth)), bandwidth);
        }
    }
}
