//! Order repository over the state in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::ops::{
    BatchId, BlobRemoval, FileContent, FileOrder, MachineNumber, OrderRepository, OrderState, Sha256Digest,
    TaskId,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

fn without_log(order: &FileOrder) -> FileOrder {
    FileOrder { log: String::new(), ..order.clone() }
}

#[async_trait]
impl OrderRepository for Transaction {
    async fn insert(&mut self, content: &FileContent, machine: Option<MachineNumber>) -> StorageResult<()> {
        let ops = &mut self.state_mut()?.ops;
        ops.contents.insert(content.task_id, content.clone());
        ops.orders.insert(content.task_id, FileOrder { machine, ..FileOrder::pending(content.task_id) });
        Ok(())
    }

    async fn find_content(&mut self, task_id: TaskId) -> StorageResult<Option<FileContent>> {
        Ok(self.state().ops.contents.get(&task_id).cloned())
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<FileOrder>> {
        Ok(self.state().ops.orders.get(&task_id).cloned())
    }

    async fn update(&mut self, old: &FileOrder, new: &FileOrder) -> StorageResult<bool> {
        let held = self.state_mut()?.ops.orders.get_mut(&old.task_id);
        let is_same = |held: &&mut FileOrder| {
            (held.state, held.attempt, held.version) == (old.state, old.attempt, old.version)
        };
        let Some(held) = held.filter(is_same) else { return Ok(false) };
        *held = FileOrder { version: old.version + 1, ..new.clone() };
        Ok(true)
    }

    async fn next_due(
        &mut self,
        machine: MachineNumber,
        now: DateTime<Utc>,
    ) -> StorageResult<Option<FileOrder>> {
        let orders = self.state().ops.orders.values().filter(|order| order.machine == Some(machine));
        let due = orders.filter_map(|order| order.due.filter(|due| *due <= now).map(|due| (due, order)));
        Ok(due.min_by_key(|(due, order)| (*due, order.task_id)).map(|(_, order)| order.clone()))
    }

    async fn held(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>> {
        let orders = self.state().ops.orders.values();
        Ok(orders.filter(|order| order.machine == Some(machine) && order.is_held()).cloned().collect())
    }

    async fn open(&mut self, machine: MachineNumber) -> StorageResult<Vec<FileOrder>> {
        let orders = self.state().ops.orders.values();
        Ok(orders.filter(|order| order.machine == Some(machine) && order.state.is_open()).cloned().collect())
    }

    async fn lapsed(
        &mut self,
        now: DateTime<Utc>,
        lease: Lease,
        latest: DateTime<Utc>,
        count: i64,
    ) -> StorageResult<Vec<FileOrder>> {
        let ops = &self.state().ops;
        let is_asked = |order: &FileOrder, due| {
            ops.contents.get(&order.task_id).is_some_and(|content| content.not_before == Some(due))
        };
        let has_lapsed = |order: &&FileOrder| {
            order.lease_until.is_some_and(|end| !lease.is_held(end, now))
                || order.due.is_some() && order.deadline.is_some_and(|deadline| deadline < now)
                || order.due.is_some_and(|due| due > latest && !is_asked(order, due))
        };
        let orders = ops.orders.values().filter(has_lapsed);
        Ok(orders.take(usize::try_from(count).unwrap_or(0)).cloned().collect())
    }

    async fn of_batch(&mut self, batch: BatchId) -> StorageResult<Vec<FileOrder>> {
        Ok(self.state().ops.orders_of_batch(batch).map(without_log).collect())
    }

    async fn in_state(&mut self, state: OrderState, count: i64) -> StorageResult<Vec<FileOrder>> {
        let ops = &self.state().ops;
        let ids: Vec<_> = ops.tasks.iter().map(|view| view.task.task_id).collect();
        let orders = ids.into_iter().rev().filter_map(|id| ops.orders.get(&id));
        let found = orders.filter(|order| order.state == state).take(usize::try_from(count).unwrap_or(0));
        Ok(found.map(without_log).collect())
    }

    async fn names_blob(&mut self, sha256: Sha256Digest) -> StorageResult<bool> {
        Ok(self.state().ops.contents.values().any(|content| content.sha256 == sha256))
    }

    async fn blob_removal(&mut self, sha256: Sha256Digest) -> StorageResult<Option<BlobRemoval>> {
        Ok(self.state().ops.blob_removals.get(&sha256).copied())
    }

    async fn set_blob_removal(&mut self, removal: &BlobRemoval) -> StorageResult<()> {
        self.state_mut()?.ops.blob_removals.insert(removal.sha256, *removal);
        Ok(())
    }

    async fn forget_blob_removals(&mut self, before: DateTime<Utc>) -> StorageResult<()> {
        let removals = &mut self.state_mut()?.ops.blob_removals;
        *removals = removals
            .iter()
            .filter(|(_, removal)| removal.begun >= before)
            .map(|(key, one)| (*key, *one))
            .collect();
        Ok(())
    }
}
