//! Pilothouse storage in memory: real transactions and snapshots, nothing durable. For tests and for embedders' tests.
//!
//! The state is a set of persistent maps, so a snapshot is a clone that shares everything, a write transaction changes
//! a clone of its own, and a commit puts that clone in the place of the old one.

mod account;
mod cdn;
mod config;
mod ops;
mod state;
mod storage;

pub use storage::MemoryStorage;
