//! End-to-end tests: the built program, in processes of its own, over each of its stores.
//!
//! `PILOTHOUSE_TEST_KILLS` sets how often a server is killed at work, and how many random release sequences are run. The
//! defaults are 5 and 3, and 2 where each kill costs the lease of a job. `PILOTHOUSE_TEST_SETS` sets how many random sets of
//! changes are published at least.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod cdn;
mod config;
mod server;
mod support;
mod update;
