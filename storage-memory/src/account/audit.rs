//! The audit trail.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::{AuditFilter, AuditRepository, AuditRow};
use pilothouse_core::ports::StorageResult;

use crate::state::page_of;
use crate::storage::Transaction;

#[async_trait]
impl AuditRepository for Transaction {
    async fn append(&mut self, row: &AuditRow) -> StorageResult<()> {
        self.state_mut()?.account.audit.insert(|id| AuditRow { id, ..row.clone() });
        Ok(())
    }

    async fn list(&mut self, filter: &AuditFilter, page: Page) -> StorageResult<Vec<AuditRow>> {
        let AuditFilter { actor, object, since, until } = filter;
        let rows = self.state().account.audit.from(page.start).filter(|row| {
            actor.as_ref().is_none_or(|actor| row.actor_name == *actor)
                && object.as_ref().is_none_or(|object| row.object == *object)
                && since.is_none_or(|since| row.at >= since)
                && until.is_none_or(|until| row.at < until)
        });
        Ok(page_of(rows, page))
    }
}
