//! Operations: machines, and release tasks that update one file on one machine.

mod machine;
mod machines;
mod state;
mod status;
mod task;
mod task_list;
mod update;

pub use machine::{Machine, MachineFilter, MachineNumber, MachineRepository, UpdateMachine};
pub use machines::{Machines, SharedAddress};
pub use state::{Revert, Status};
pub use status::{StatusReport, TaskStatus};
pub use task::{NewTask, Task, TaskId, TaskNumber, TaskRepository, Tasks};
pub use task_list::{TaskFilter, TaskView};
pub use update::{
    AddedBatch, Agent, AgentCaller, AgentFacts, AgentOrder, AgentRepository, Agents, Appended, Batch,
    BatchChanged, BatchId, BatchLimits, BatchNumber, BatchOverview, BatchRepository, BatchState, BatchView,
    BatchWorker, Batches, BlobRemoval, Blobs, Command, Enrolled, EnrollmentCode, FileContent, FileOrder,
    MachineView, NewBatch, NewFile, OnStop, OrderAction, OrderReport, OrderRepository, OrderResult,
    OrderState, OrderSweeper, OrderView, Phase, Poll, ReportAnswer, ResultState, Sha256Digest, StateView,
    Targets, UPDATE_LEASE, Updates,
};
