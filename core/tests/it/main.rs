//! Use cases of the domain over the in-memory store: permissions, refusals, concurrency.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod blob_pruning;
mod blobs;
mod cdn;
mod config;
mod fleet;
mod import;
mod order_clocks;
mod readiness;
mod release;
mod webhook;
mod workers;
