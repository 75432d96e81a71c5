//! Edges, purges and access logs.

mod alarms;
mod edge_billing;
mod edge_failover;
mod edge_purges;
mod edge_rules;
mod edge_sites;
mod edge_spellings;
mod edge_tags;
mod edge_tls;
mod edge_truth;
mod hand_over;
mod job_crash;
mod log_archive;
mod log_ingest;
mod log_intake;
mod log_shipping;
mod nginx_memory_full;
mod purge_during_fetch;
mod vendor_tencent;
mod vendors_and_edges;
mod vendors_together;
