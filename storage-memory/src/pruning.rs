//! Limits of pruning.

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::cdn::BlockKind;
use pilothouse_core::ports::StorageResult;
use pilothouse_core::{Allowance, ClockMark, Prunable, PruningRepository};

use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct PruningState {
    allowances: OrdMap<Prunable, Allowance>,
    mark: Option<ClockMark>,
}

#[async_trait]
impl PruningRepository for Transaction {
    async fn count(&mut self, kind: Prunable) -> StorageResult<i64> {
        let state = self.state();
        let count = match kind {
            Prunable::Nodes => state.config.node_rows(),
            Prunable::Deliveries => state.config.delivery_rows(),
            Prunable::Jobs => state.cdn.job_rows(),
            Prunable::LogSources => state.cdn.log_source_rows(),
            Prunable::LogChunks => state.cdn.log_chunk_rows(),
            Prunable::UnregisteredLines => state.cdn.unregistered_rows(),
            Prunable::TopUrls => state.cdn.top_url_rows(),
            Prunable::Alarms => state.cdn.alarm_rows(),
            Prunable::FluxBlocks => state.cdn.block_rows(BlockKind::Flux),
            Prunable::CountBlocks => state.cdn.block_rows(BlockKind::Counts),
            Prunable::CityBlocks => state.cdn.block_rows(BlockKind::Cities),
        };
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    async fn allowance(&mut self, kind: Prunable) -> StorageResult<Option<Allowance>> {
        Ok(self.state().pruning.allowances.get(&kind).copied())
    }

    async fn set_allowance(&mut self, kind: Prunable, allowance: &Allowance) -> StorageResult<()> {
        self.state_mut()?.pruning.allowances.insert(kind, *allowance);
        Ok(())
    }

    async fn clock_mark(&mut self) -> StorageResult<Option<ClockMark>> {
        Ok(self.state().pruning.mark)
    }

    async fn set_clock_mark(&mut self, mark: &ClockMark) -> StorageResult<()> {
        self.state_mut()?.pruning.mark = Some(*mark);
        Ok(())
    }
}
