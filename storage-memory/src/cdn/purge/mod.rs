//! Jobs with their progress, edges, and batches of vendors.

pub(super) mod edge;
mod job;
pub(super) mod vendor_batch;
pub(super) mod vendor_spending;
