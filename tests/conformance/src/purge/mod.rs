//! Cases of refresh and preload jobs and of edges.

pub(crate) mod edge;
pub(crate) mod job;
pub(crate) mod job_list;
pub(crate) mod vendor_batch;
pub(crate) mod vendor_spending;
