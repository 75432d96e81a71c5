//! Operations: machines, and release tasks that update one file on one machine.

mod machine;
mod status;
mod task;

pub use machine::{Machine, MachineRepository, Machines};
pub use status::{Revert, Status, StatusReport, TaskStatus};
pub use task::{NewTask, Task, TaskId, TaskRepository, Tasks};
