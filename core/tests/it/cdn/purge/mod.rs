//! Purges and preloads on edges.

mod edge_leases;
mod job;
mod job_list;
mod job_request;
mod job_runner;
mod vendor_calls;
mod vendor_concurrency;
mod vendor_kills;
mod vendor_share;
