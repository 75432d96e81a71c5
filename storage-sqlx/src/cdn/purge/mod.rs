//! Jobs with their progress, edges, and batches of vendors.

mod edge;
mod job;
mod vendor_batch;
mod vendor_spending;
