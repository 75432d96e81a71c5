//! Audit repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, AuditRepository, AuditRow};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[async_trait]
impl AuditRepository for Transaction {
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()> {
        self.state_mut()?.account.audit.insert(|id| AuditRow { id, ..row.clone() });
        Ok(())
    }

    async fn append_all(&mut self, rows: &[AuditRow]) -> StorageResult<()> {
        let audit = &mut self.state_mut()?.account.audit;
        for row in rows {
            audit.insert(|id| AuditRow { id, ..row.clone() });
        }
        Ok(())
    }

    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>> {
        Ok(self.state().account.audit.page(page, |row| filter.accepts(row)))
    }

    async fn count(&mut self, filter: &AuditFilter) -> StorageResult<u64> {
        Ok(self.state().account.audit.count(0, i64::MAX, |row| filter.accepts(row)))
    }
}
