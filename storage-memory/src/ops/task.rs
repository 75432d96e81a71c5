//! Release tasks and their status.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{
    Revert, Status, Task, TaskFilter, TaskId, TaskNumber, TaskRepository, TaskStatus, TaskView,
};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

impl Transaction {
    fn view(&self, task_id: TaskId) -> Option<&TaskView> {
        self.state().ops.tasks.iter().find(|view| view.task.task_id == task_id)
    }
}

#[async_trait]
impl TaskRepository for Transaction {
    async fn insert(&mut self, task: &Task) -> StorageResult<()> {
        self.state_mut()?.ops.tasks.insert(|id| TaskView {
            task: Task { id, ..task.clone() },
            status: TaskStatus {
                id,
                task_id: task.task_id,
                start_time: 0,
                revert_time: 0,
                status: Status::Pending,
                percent: 0,
                revert: Revert::None,
                version: 1,
            },
        });
        Ok(())
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>> {
        Ok(self.view(task_id).map(|view| view.task.clone()))
    }

    async fn list(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<Task>> {
        Ok(self.list_views(filter, page).await?.into_iter().map(|view| view.task).collect())
    }

    async fn list_views(&mut self, filter: &TaskFilter, page: Page) -> StorageResult<Vec<TaskView>> {
        Ok(self.state().ops.tasks.page(page, |view| filter.accepts(view)))
    }

    async fn count(&mut self, filter: &TaskFilter, start: i64, before: i64) -> StorageResult<u64> {
        Ok(self.state().ops.tasks.count(start, before, |view| filter.accepts(view)))
    }

    async fn nth_before(&mut self, before: i64, n: i64) -> StorageResult<Option<TaskNumber>> {
        Ok(self.state().ops.tasks.nth_before(before, n))
    }

    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool> {
        let ops = &mut self.state_mut()?.ops;
        ops.contents.remove(&task_id);
        ops.orders.remove(&task_id);
        Ok(ops.tasks.retain(|view| view.task.task_id != task_id) > 0)
    }

    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>> {
        Ok(self.view(task_id).map(|view| view.status.clone()))
    }

    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool> {
        let held = self.state_mut()?.ops.tasks.get_mut(status.id);
        let Some(view) = held.filter(|view| view.status.version == status.version) else { return Ok(false) };
        view.status = TaskStatus { version: status.version + 1, ..status.clone() };
        Ok(true)
    }
}
