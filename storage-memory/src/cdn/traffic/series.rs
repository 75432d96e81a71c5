//! Traffic repository over the state in memory: open buckets and sealed days.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use pilothouse_core::cdn::{
    BUCKETS_OF_DAY, Block, BlockKind, Bucket, Cell, Day, DomainId, Figures, TrafficRepository,
};
use pilothouse_core::ports::StorageResult;

use imbl::OrdMap;

use crate::cdn::each;
use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct TrafficState {
    open: OrdMap<(DomainId, Bucket), Figures>,
    blocks: OrdMap<(DomainId, BlockKind, Day), Block>,
}

impl TrafficState {
    pub(crate) fn block_rows(&self, part: BlockKind) -> usize {
        self.blocks.keys().filter(|(_, of, _)| *of == part).count()
    }

    fn cells(&self, domain_id: DomainId, buckets: &RangeInclusive<Bucket>) -> impl Iterator<Item = Cell> {
        let range = (domain_id, *buckets.start())..=(domain_id, *buckets.end());
        self.open.range(range).map(|(&(domain_id, bucket), &figures)| Cell { domain_id, bucket, figures })
    }
}

#[async_trait]
impl TrafficRepository for Transaction {
    async fn add(&mut self, cells: &[Cell]) -> StorageResult<()> {
        let open = &mut self.state_mut()?.cdn.traffic.open;
        for cell in cells {
            open.entry((cell.domain_id, cell.bucket)).or_default().add(cell.figures);
        }
        Ok(())
    }

    async fn open(
        &mut self,
        domains: &[DomainId],
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        let traffic = &self.state().cdn.traffic;
        Ok(each(domains).into_iter().flat_map(|domain_id| traffic.cells(domain_id, &buckets)).collect())
    }

    async fn take(
        &mut self,
        domain_id: DomainId,
        buckets: RangeInclusive<Bucket>,
    ) -> StorageResult<Vec<Cell>> {
        let traffic = &mut self.state_mut()?.cdn.traffic;
        let taken: Vec<_> = traffic.cells(domain_id, &buckets).collect();
        for cell in &taken {
            traffic.open.remove(&(domain_id, cell.bucket));
        }
        Ok(taken)
    }

    async fn unsealed(&mut self, end: Bucket, limit: i64) -> StorageResult<Vec<(DomainId, Day)>> {
        let open = self.state().cdn.traffic.open.keys().filter(|(_, bucket)| *bucket < end);
        let mut days: Vec<_> =
            open.map(|(domain_id, bucket)| (*domain_id, Day(bucket / BUCKETS_OF_DAY))).collect();
        days.dedup();
        days.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(days)
    }

    async fn blocks(
        &mut self,
        part: BlockKind,
        domains: &[DomainId],
        days: RangeInclusive<Day>,
    ) -> StorageResult<Vec<Block>> {
        let blocks = &self.state().cdn.traffic.blocks;
        let range = |id: DomainId| blocks.range((id, part, *days.start())..=(id, part, *days.end()));
        let found = each(domains).into_iter().flat_map(range);
        Ok(found.map(|(_, block)| block.clone()).collect())
    }

    async fn put_block(&mut self, part: BlockKind, block: &Block) -> StorageResult<()> {
        let key = (block.domain_id, part, block.day);
        self.state_mut()?.cdn.traffic.blocks.insert(key, block.clone());
        Ok(())
    }

    async fn prune_blocks(&mut self, part: BlockKind, before: Day, count: i64) -> StorageResult<u64> {
        let blocks = &mut self.state_mut()?.cdn.traffic.blocks;
        let old = blocks.iter().filter(|((_, of, _), block)| *of == part && block.kept_from < before);
        let mut old: Vec<_> = old.map(|(key, _)| *key).collect();
        old.sort_unstable_by_key(|(domain_id, _, day)| (*day, *domain_id));
        old.truncate(usize::try_from(count).unwrap_or(0));
        for key in &old {
            blocks.remove(key);
        }
        Ok(old.len() as u64)
    }
}
