//! Numbering of tables whose rows keep their ids when they are imported.

use async_trait::async_trait;
use pilothouse_core::import::{RowIdRepository, RowKind};
use pilothouse_core::ports::StorageResult;

use crate::state::State;
use crate::storage::Transaction;

/// The greatest id that a table has given.
fn last(state: &mut State, kind: RowKind) -> &mut i64 {
    match kind {
        RowKind::Accounts => state.account.accounts.last_mut(),
        RowKind::Companies => state.cdn.companies.last_mut(),
        RowKind::Cdns => state.cdn.cdns.last_mut(),
        RowKind::Apps => state.config.apps.last_mut(),
        RowKind::Grants => state.config.grants.last_mut(),
        RowKind::Items => state.config.items.last_mut(),
        RowKind::Machines => state.ops.machines.last_mut(),
    }
}

#[async_trait]
impl RowIdRepository for Transaction {
    async fn last_id(&mut self, kind: RowKind) -> StorageResult<i64> {
        // Cloning the state shares everything in it.
        Ok(*last(&mut self.state().clone(), kind))
    }

    async fn raise_last_id(&mut self, kind: RowKind, id: i64) -> StorageResult<()> {
        let last = last(self.state_mut()?, kind);
        *last = id.max(*last);
        Ok(())
    }
}
