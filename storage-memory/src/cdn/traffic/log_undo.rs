//! Undo records of ingested logs.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{LogSourceId, LogUndoRepository, UndoRecord};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl LogUndoRepository for Transaction {
    async fn insert(&mut self, records: &[UndoRecord]) -> StorageResult<()> {
        self.state_mut()?.cdn.log_undo.extend(records.iter().cloned());
        Ok(())
    }

    async fn of_source(&mut self, source_id: LogSourceId) -> StorageResult<Vec<UndoRecord>> {
        let records = self.state().cdn.log_undo.iter().filter(|record| record.source_id == source_id);
        Ok(records.cloned().collect())
    }

    async fn delete(&mut self, source_id: LogSourceId) -> StorageResult<u64> {
        let records = &mut self.state_mut()?.cdn.log_undo;
        let before = records.len();
        records.retain(|record| record.source_id != source_id);
        Ok((before - records.len()) as u64)
    }

    async fn expire(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        let records = &mut self.state_mut()?.cdn.log_undo;
        let all = records.len();
        records.retain(|record| record.recorded >= before);
        Ok((all - records.len()) as u64)
    }

    async fn packs(&mut self) -> StorageResult<Vec<String>> {
        let packs = self.state().cdn.log_undo.iter().map(|record| &record.pack);
        let packs: BTreeSet<_> = packs.filter(|pack| !pack.is_empty()).collect();
        Ok(packs.into_iter().cloned().collect())
    }
}
