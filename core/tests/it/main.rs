//! Use cases of the domain over the in-memory store: permissions, refusals, concurrency.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod account;
mod blob_pruning;
mod cdn;
mod config;
mod import;
mod readiness;
mod release;
mod webhook;
mod workers;
