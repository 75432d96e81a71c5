//! Batch repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::ops::{Batch, BatchId, BatchNumber, BatchRepository, BatchState};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

impl Transaction {
    fn batch(&self, batch_id: BatchId) -> Option<&Batch> {
        self.state().ops.batches.iter().find(|batch| batch.batch_id == batch_id)
    }
}

#[async_trait]
impl BatchRepository for Transaction {
    async fn insert(&mut self, batch: &Batch) -> StorageResult<()> {
        self.state_mut()?.ops.batches.insert(|id: BatchNumber| Batch { id, ..batch.clone() });
        Ok(())
    }

    async fn find(&mut self, batch_id: BatchId) -> StorageResult<Option<Batch>> {
        Ok(self.batch(batch_id).cloned())
    }

    async fn update(&mut self, batch: &Batch) -> StorageResult<bool> {
        let Some(id) = self.batch(batch.batch_id).map(|held| held.id) else { return Ok(false) };
        let held = self.state_mut()?.ops.batches.get_mut(id);
        let Some(held) = held.filter(|held| held.version == batch.version) else { return Ok(false) };
        *held = Batch { id, create_time: held.create_time, version: batch.version + 1, ..batch.clone() };
        Ok(true)
    }

    async fn active(&mut self) -> StorageResult<Vec<Batch>> {
        let is_active = |batch: &&Batch| matches!(batch.state, BatchState::Running | BatchState::Reverting);
        Ok(self.state().ops.batches.iter().filter(is_active).cloned().collect())
    }

    async fn in_state(
        &mut self,
        state: BatchState,
        before: BatchNumber,
        count: i64,
    ) -> StorageResult<Vec<Batch>> {
        let is_asked = |batch: &&Batch| batch.state == state && batch.id < before;
        let mut found: Vec<_> = self.state().ops.batches.iter().filter(is_asked).cloned().collect();
        found.reverse();
        found.truncate(usize::try_from(count).unwrap_or(0));
        Ok(found)
    }

    async fn delete(&mut self, batch_id: BatchId) -> StorageResult<bool> {
        Ok(self.state_mut()?.ops.batches.retain(|batch| batch.batch_id != batch_id) > 0)
    }
}
