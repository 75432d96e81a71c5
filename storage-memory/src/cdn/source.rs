//! How far access logs were read.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{CdnId, LogSource, LogSourceRepository, SourceKey};
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

    async fn by_id(&mut self, id: i64) -> StorageResult<Option<LogSource>> {
        Ok(self.state().cdn.log_sources.get(id).cloned())
    }

    async fn newest(&mut self, cdn_id: CdnId, edge: &str) -> StorageResult<i64> {
        let sources = self.state().cdn.log_sources.iter();
        let of_edge = sources.filter(|source| source.cdn_id == cdn_id && source.edge == edge);
        Ok(of_edge.map(|source| source.id).max().unwrap_or_default())
    }

    async fn insert(&mut self, source: &LogSource) -> StorageResult<i64> {
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

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        Ok(self.state_mut()?.cdn.log_sources.retain(|source| source.recorded >= before))
    }
}
