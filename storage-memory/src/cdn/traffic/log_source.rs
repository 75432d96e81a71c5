//! Log sources: the position up to which each access log was read.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{CdnId, LogSource, LogSourceId, LogSourceRepository, SourceKey};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl LogSourceRepository for Transaction {
    async fn find(&mut self, cdn_id: CdnId, edge: &str, keys: &[SourceKey]) -> StorageResult<Vec<LogSource>> {
        let of_edge = self.state().cdn.log_sources.iter();
        let found = of_edge
            .filter(|source| source.cdn_id == cdn_id && source.edge == edge && keys.contains(&source.key));
        Ok(found.cloned().collect())
    }

    async fn by_id(&mut self, id: LogSourceId) -> StorageResult<Option<LogSource>> {
        Ok(self.state().cdn.log_sources.get(id).cloned())
    }

    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<Option<LogSourceId>> {
        let sources = self.state().cdn.log_sources.iter();
        let of_edge = sources.filter(|source| source.cdn_id == cdn_id && source.edge == edge);
        Ok(of_edge.map(|source| source.id).max())
    }

    async fn insert(&mut self, source: &LogSource) -> StorageResult<LogSourceId> {
        Ok(self.state_mut()?.cdn.log_sources.insert(|id| LogSource { id, ..source.clone() }))
    }

    async fn update(&mut self, source: &LogSource, length: i64) -> StorageResult<bool> {
        match self.state_mut()?.cdn.log_sources.get_mut(source.id) {
            Some(held) if held.length == length => {
                *held = LogSource { cdn_id: held.cdn_id, edge: held.edge.clone(), ..source.clone() };
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&mut self, id: LogSourceId) -> StorageResult<bool> {
        Ok(self.state_mut()?.cdn.log_sources.remove(id))
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        let sources = &mut self.state_mut()?.cdn.log_sources;
        let old = sources.iter().filter(|source| source.recorded < before).map(|source| source.id);
        let old: BTreeSet<_> = old.take(usize::try_from(count).unwrap_or(0)).collect();
        Ok(sources.retain(|source| !old.contains(&source.id)))
    }
}
