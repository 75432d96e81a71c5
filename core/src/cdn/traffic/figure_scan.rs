//! Scan of traffic: the figures of many domains in pieces, so that no query holds more than some thousand blocks.

use std::ops::RangeInclusive;

use super::bucket::{BUCKETS_OF_DAY, Bucket, Figures, buckets_of, day_of};
use super::column_block::{self, Column};
use super::series::{Block, BlockKind};
use crate::Result;
use crate::cdn::identifier::DomainId;
use crate::ports::{Repositories, StorageError, StorageResult};

/// The most domains of one read.
const DOMAINS_AT_ONCE: usize = 256;
/// The most sealed blocks that one read may bring, unless a day alone has more.
const BLOCKS_AT_ONCE: i64 = 1024;

/// Domains and buckets of one read.
pub(super) struct Window<'a> {
    pub(super) domains: &'a [DomainId],
    pub(super) buckets: RangeInclusive<Bucket>,
}

/// The reads that bring the traffic of domains in a range of buckets, each bounded.
pub(super) fn windows(domains: &[DomainId], buckets: RangeInclusive<Bucket>) -> Vec<Window<'_>> {
    let mut windows = Vec::new();
    for domains in domains.chunks(DOMAINS_AT_ONCE) {
        let count = i64::try_from(domains.len()).unwrap_or(BLOCKS_AT_ONCE);
        let days = (BLOCKS_AT_ONCE / count).max(1);
        let mut first = *buckets.start();
        while first <= *buckets.end() {
            let last = buckets_of(day_of(first)).start() + days * BUCKETS_OF_DAY - 1;
            let last = last.min(*buckets.end());
            windows.push(Window { domains, buckets: first..=last });
            first = last + 1;
        }
    }
    windows
}

/// Receiver of a scan.
pub(in crate::cdn) trait FigureSink: Send {
    /// Takes some figures of a domain in a bucket. Those of one bucket may come in several pieces, which add up.
    fn add(&mut self, domain_id: DomainId, bucket: Bucket, figures: Figures);
}

/// Reads all figures of some domains.
pub(in crate::cdn) async fn scan(
    repositories: &mut dyn Repositories,
    domains: &[DomainId],
    buckets: RangeInclusive<Bucket>,
    sink: &mut dyn FigureSink,
) -> Result<()> {
    for Window { domains, buckets } in windows(domains, buckets) {
        let days = day_of(*buckets.start())..=day_of(*buckets.end());
        for block in repositories.traffic().blocks(BlockKind::Flux, domains, days.clone()).await? {
            let [flux] = columns::<1>(&block)?;
            for (bucket, n) in slots(&block, &buckets).filter(|(_, n)| flux[*n] != 0) {
                sink.add(block.domain_id, bucket, Figures { flux: flux[n], ..Figures::default() });
            }
        }
        for block in repositories.traffic().blocks(BlockKind::Counts, domains, days).await? {
            let columns = columns_or_fewer::<7>(&block)?;
            for (bucket, n) in slots(&block, &buckets) {
                let figures = Figures::of_counts(0, columns.each_ref().map(|column| column[n]));
                if figures != Figures::default() {
                    sink.add(block.domain_id, bucket, figures);
                }
            }
        }
        for cell in repositories.traffic().open(domains, buckets).await? {
            sink.add(cell.domain_id, cell.bucket, cell.figures);
        }
    }
    Ok(())
}

/// The buckets of a block that are asked for, each with its place in the columns.
fn slots(block: &Block, buckets: &RangeInclusive<Bucket>) -> impl Iterator<Item = (Bucket, usize)> {
    let day = buckets_of(block.day);
    let asked = (*day.start()).max(*buckets.start())..=(*day.end()).min(*buckets.end());
    asked.map(|bucket| (bucket, super::bucket::slot(bucket)))
}

/// Columns of a block; corrupt where they are not as many.
pub(super) fn columns<const N: usize>(block: &Block) -> StorageResult<[Column; N]> {
    column_block::decode_columns(&block.data).ok_or(StorageError::Corrupt { what: "traffic block" })
}

/// Columns of a block. One that was sealed before the last of several columns was counted lacks it: that is 0.
pub(super) fn columns_or_fewer<const N: usize>(block: &Block) -> StorageResult<[Column; N]> {
    let decoded = column_block::decode_columns(&block.data);
    let decoded =
        decoded.or_else(|| if N > 1 { column_block::decode_all_but_last(&block.data) } else { None });
    decoded.ok_or(StorageError::Corrupt { what: "traffic block" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::traffic::bucket::Day;

    #[test]
    fn a_day_that_was_sealed_without_bytes_of_hits_is_read_as_if_there_were_none() {
        let block = |data| Block { domain_id: DomainId(1), day: Day(0), kept_from: Day(0), data };
        let columns: [Column; 6] =
            std::array::from_fn(|n| [i64::try_from(n).unwrap(); column_block::BUCKETS]);
        let read = columns_or_fewer::<7>(&block(column_block::encode_columns(&columns))).unwrap();
        assert_eq!((&read[..6], read[6]), (&columns[..], [0; column_block::BUCKETS]));
        assert!(columns_or_fewer::<7>(&block(column_block::encode_columns(&columns[..5]))).is_err());
    }

    #[test]
    fn windows_cover_everything_once_and_stay_small() {
        let domains: Vec<_> = (0..1000).map(DomainId).collect();
        let (first, last) = (100, 100 + 31 * BUCKETS_OF_DAY);
        let windows = windows(&domains, first..=last);
        for part in domains.chunks(DOMAINS_AT_ONCE) {
            let mut next = first;
            for window in windows.iter().filter(|window| window.domains == part) {
                assert_eq!(*window.buckets.start(), next);
                let days = day_of(*window.buckets.end()).0 - day_of(next).0 + 1;
                assert!(days * i64::try_from(part.len()).unwrap() <= BLOCKS_AT_ONCE);
                next = window.buckets.end() + 1;
            }
            assert_eq!(next, last + 1);
        }
        assert!(super::windows(&[], 0..=9).is_empty());
    }
}
