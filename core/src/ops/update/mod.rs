//! Updates: orders to replace one file on one machine or on many, the agents that carry them out, and the contents.

mod agent;
mod agents;
mod batch;
mod batch_member;
mod batch_step;
mod batch_view;
mod batch_worker;
mod batches;
mod blob_removal;
mod blobs;
mod content;
mod order;
mod order_event;
mod order_repository;
mod release;
mod report;
mod state;
mod sweeper;
mod targets;
mod updates;

pub use agent::{Agent, AgentFacts, AgentRepository};
pub use agents::{AgentCaller, AgentOrder, Agents, Enrolled, EnrollmentCode, MachineView, Poll};
pub use batch::{Batch, BatchId, BatchLimits, BatchNumber, BatchRepository, BatchState, OnStop};
pub use batch_view::{BatchView, StateView};
pub use batch_worker::BatchWorker;
pub use batches::{BatchChanged, Batches};
pub use blob_removal::BlobRemoval;
pub use blobs::{Appended, Blobs};
pub use content::{FileContent, NewFile, Sha256Digest};
pub use order::{FileOrder, UPDATE_LEASE};
pub use order_repository::OrderRepository;
pub use report::{Command, OrderReport, OrderResult, ReportAnswer, ResultState};
pub use state::{OrderAction, OrderState, Phase};
pub use sweeper::OrderSweeper;
pub use targets::{AddedBatch, NewBatch, Targets};
pub use updates::{OrderView, Updates};
