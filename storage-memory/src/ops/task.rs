//! Release tasks and their status.

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::ops::{Revert, Status, Task, TaskId, TaskRepository, TaskStatus};
use pilothouse_core::ports::StorageResult;

use crate::state::page_of;
use crate::storage::Transaction;

#[async_trait]
impl TaskRepository for Transaction {
    async fn insert(&mut self, task: &Task) -> StorageResult<()> {
        let ops = &mut self.state_mut()?.ops;
        ops.tasks.insert(|id| Task { id, ..task.clone() });
        ops.statuses.insert(|id| TaskStatus {
            id,
            task_id: task.task_id,
            start_time: 0,
            revert_time: 0,
            status: Status::Pending,
            percent: 0,
            revert: Revert::None,
            version: 1,
        });
        Ok(())
    }

    async fn find(&mut self, task_id: TaskId) -> StorageResult<Option<Task>> {
        Ok(self.state().ops.tasks.iter().find(|task| task.task_id == task_id).cloned())
    }

    async fn list(&mut self, page: Page) -> StorageResult<Vec<Task>> {
        Ok(page_of(self.state().ops.tasks.from(page.start), page))
    }

    async fn delete(&mut self, task_id: TaskId) -> StorageResult<bool> {
        let ops = &mut self.state_mut()?.ops;
        ops.statuses.retain(|status| status.task_id != task_id);
        Ok(ops.tasks.retain(|task| task.task_id != task_id) > 0)
    }

    async fn find_status(&mut self, task_id: TaskId) -> StorageResult<Option<TaskStatus>> {
        Ok(self.state().ops.statuses.iter().find(|status| status.task_id == task_id).cloned())
    }

    async fn list_statuses(&mut self, page: Page) -> StorageResult<Vec<TaskStatus>> {
        Ok(page_of(self.state().ops.statuses.from(page.start), page))
    }

    async fn update_status(&mut self, status: &TaskStatus) -> StorageResult<bool> {
        match self.state_mut()?.ops.statuses.get_mut(status.id) {
            Some(held) if held.version == status.version => {
                *held = TaskStatus { version: status.version + 1, ..status.clone() };
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
