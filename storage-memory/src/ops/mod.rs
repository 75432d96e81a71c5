//! Machines and release tasks.

mod agent;
mod batch;
mod file_order;
mod machine;
mod task;

use std::collections::BTreeSet;

use imbl::OrdMap;
use pilothouse_core::ops::{
    Agent, Batch, BatchId, BatchNumber, BlobRemoval, FileContent, FileOrder, Machine, MachineNumber,
    Sha256Digest, TaskId, TaskNumber, TaskView,
};

use crate::state::Table;

#[derive(Clone, Debug, Default)]
pub(crate) struct OpsState {
    tasks: Table<TaskNumber, TaskView>,
    pub(crate) machines: Table<MachineNumber, Machine>,
    contents: OrdMap<TaskId, FileContent>,
    orders: OrdMap<TaskId, FileOrder>,
    blob_removals: OrdMap<Sha256Digest, BlobRemoval>,
    agents: OrdMap<MachineNumber, Agent>,
    batches: Table<BatchNumber, Batch>,
}

impl OpsState {
    /// Orders of a batch, by the number of their task.
    fn orders_of_batch(&self, batch: BatchId) -> impl Iterator<Item = &FileOrder> {
        let tasks = self.tasks.iter().filter(move |view| view.task.batch == Some(batch));
        tasks.filter_map(|view| self.orders.get(&view.task.task_id))
    }

    /// Machines that the orders of a batch are bound to.
    fn machines_of_batch(&self, batch: BatchId) -> BTreeSet<MachineNumber> {
        self.orders_of_batch(batch).filter_map(|order| order.machine).collect()
    }
}
