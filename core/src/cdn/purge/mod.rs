//! Purges and preloads: durable jobs, the runner that works them through providers, and the leases of own edges.

mod ability;
mod attempt;
mod call_queue;
mod counted_edge;
mod edge;
mod edge_leases;
mod job;
mod job_list;
mod job_parts;
mod job_runner;
mod progress;
mod rate_limit;
mod target;
mod vendor;

pub(in crate::cdn) use edge::age_of_states;
pub use edge::{Edge, EdgeInfo, EdgeRepository, EdgeState, Edges, ShippedLog};
pub use edge_leases::EdgeLeases;
pub use job::{Job, JobDetails, JobId, JobKind, JobRepository, JobState, Jobs, LONGEST_WAIT, MissedPurges};
pub use job_list::{JobFilter, JobQuery, JobRequest};
pub use job_parts::{JobPart, JobParts};
pub use job_runner::JobRunner;
pub(in crate::cdn) use progress::one_line;
pub use progress::{CellState, EdgeProgress, JobCell};
pub use target::JobUrls;
pub use vendor::{
    BatchItem, BatchState, VendorBatch, VendorBatchRepository, VendorCalls, VendorSpending,
    VendorSpendingRepository,
};
