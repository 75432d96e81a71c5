//! Change set repository over the state in memory.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    ChangeSet, ChangeSetFilter, ChangeSetId, ChangeSetRepository, ChangeSetState, ChangedItem,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

/// A change set with its items, by id.
#[derive(Clone, Debug)]
pub(crate) struct ChangeSetRow {
    pub(crate) set: ChangeSet,
    items: Vec<ChangedItem>,
}

impl ChangeSetRow {
    /// Changes of the set, by id of the item.
    pub(crate) fn changes(&self) -> &[ChangedItem] {
        &self.items
    }
}

#[async_trait]
impl ChangeSetRepository for Transaction {
    async fn insert(&mut self, set: &ChangeSet, items: &[ChangedItem]) -> StorageResult<ChangeSetId> {
        let mut items = items.to_vec();
        items.sort_unstable_by_key(|of| of.item);
        let sets = &mut self.state_mut()?.config.change_sets;
        Ok(sets.insert(|id| ChangeSetRow { set: ChangeSet { id, ..set.clone() }, items }))
    }

    async fn find(&mut self, id: ChangeSetId) -> StorageResult<Option<ChangeSet>> {
        Ok(self.state().config.change_sets.get(id).map(|row| row.set.clone()))
    }

    async fn items(&mut self, id: ChangeSetId) -> StorageResult<Vec<ChangedItem>> {
        Ok(self.state().config.change_sets.get(id).map(|row| row.items.clone()).unwrap_or_default())
    }

    async fn list(&mut self, filter: &ChangeSetFilter, page: Page) -> StorageResult<Vec<ChangeSet>> {
        let rows = self.state().config.change_sets.page(page, |row| filter.accepts(&row.set));
        Ok(rows.into_iter().map(|row| row.set).collect())
    }

    async fn count(&mut self, filter: &ChangeSetFilter) -> StorageResult<u64> {
        Ok(self.state().config.change_sets.count(0, i64::MAX, |row| filter.accepts(&row.set)))
    }

    async fn advance(
        &mut self,
        id: ChangeSetId,
        from: ChangeSetState,
        to: ChangeSetState,
        approver: Option<AccountId>,
    ) -> StorageResult<bool> {
        let row = self.state_mut()?.config.change_sets.get_mut(id);
        let Some(row) = row.filter(|row| row.set.state == from) else { return Ok(false) };
        row.set.state = to;
        row.set.approver = approver.or(row.set.approver);
        Ok(true)
    }
}
