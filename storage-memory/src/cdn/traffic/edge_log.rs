//! Edge log repository over the state in memory.

use async_trait::async_trait;
use imbl::OrdMap;
use pilothouse_core::cdn::{CdnId, EdgeLog, EdgeLogRepository, LogKind};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// Rows by cdn, edge and kind.
pub(crate) type EdgeLogRows = OrdMap<(CdnId, String, LogKind), EdgeLog>;

#[async_trait]
impl EdgeLogRepository for Transaction {
    async fn find(&mut self, cdn_id: CdnId, edge: &str, kind: LogKind) -> StorageResult<Option<EdgeLog>> {
        Ok(self.state().cdn.edge_logs.get(&(cdn_id, edge.to_owned(), kind)).cloned())
    }

    async fn put(&mut self, log: &EdgeLog) -> StorageResult<()> {
        let key = (log.cdn_id, log.edge.clone(), log.kind);
        self.state_mut()?.cdn.edge_logs.insert(key, log.clone());
        Ok(())
    }

    async fn list(&mut self, cdn_id: CdnId) -> StorageResult<Vec<EdgeLog>> {
        let rows = self.state().cdn.edge_logs.iter();
        Ok(rows.filter(|((of, _, _), _)| *of == cdn_id).map(|(_, log)| log.clone()).collect())
    }
}
