//! Machines and release tasks.

mod machine;
mod task;

use pilothouse_core::ops::{Machine, Task, TaskStatus};

use crate::state::Table;

#[derive(Clone, Debug, Default)]
pub(crate) struct OpsState {
    tasks: Table<Task>,
    statuses: Table<TaskStatus>,
    machines: Table<Machine>,
}
